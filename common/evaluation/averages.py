"""Means over cases, then over organs, as the papers average Dice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tabulate import tabulate


def summarise(rows: Sequence[Mapping[str, Any]], score: str = "dice") -> dict[str, dict[str, float]]:
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
    means = {name: {organ: fmean(values) for organ, values in organs.items()} for name, organs in table.items()}
    return {name: {**organs, "mean": fmean(organs.values())} for name, organs in means.items()}


def dice_table(rows: Sequence[Mapping[str, Any]], title: str = "Dice") -> str:
    """Format mean Dice per protocol (lines) and organ (columns) as plain text."""
    means = summarise(rows)
    organs = list(next(iter(means.values()), {}))
    lines = [[protocol, *(values.get(organ) for organ in organs)] for protocol, values in means.items()]
    return tabulate(lines, [title, *organs], "plain", floatfmt=".3f")
