"""Means over cases, then over organs, as the papers average Dice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def summarise(rows: Sequence[dict[str, Any]], score: str = "dice") -> dict[str, dict[str, float]]:
    """Average a score over the cases of each protocol and organ, then over organs.

    Args:
        rows: of ``CaseMetrics``.
        score: column to average; rows without a value do not count.

    Returns:
        Protocol -> organ -> mean, with the mean over organs last under ``mean``.
    """
    table: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if row[score] is not None:
            table.setdefault(row["protocol"], {}).setdefault(row["organ"], []).append(row[score])
    means: dict[str, dict[str, float]] = {}
    for protocol, organs in table.items():
        means[protocol] = {organ: sum(values) / len(values) for organ, values in organs.items()}
        means[protocol]["mean"] = sum(means[protocol].values()) / len(organs)
    return means


def dice_table(rows: Sequence[dict[str, Any]], title: str = "Dice") -> str:
    """Format mean Dice per protocol (lines) and organ (columns) as plain text."""
    means = summarise(rows)
    organs = list(next(iter(means.values()))) if means else []
    widths = [max(len(organ), 6) for organ in organs]
    lines = [f"{title:<10}" + "  ".join(f"{organ:>{width}}" for organ, width in zip(organs, widths, strict=True))]
    for protocol, values in means.items():
        cells = (f"{values[organ]:>{width}.3f}" for organ, width in zip(organs, widths, strict=True))
        lines.append(f"{protocol:<10}" + "  ".join(cells))
    return "\n".join(lines)
