"""The papers' figures of several runs: thresholds (ADNet, figure 7) and misalignment (LSNet, figure 3)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from matplotlib.figure import Figure

from ...evaluation.tables import summarise
from ...pictures import COLOURS, save_figure


def draw_thresholds(files: Sequence[Path], output: Path, mark: str = "") -> Path:
    """Draw mean Dice over the threshold, its deviation over runs shaded, and the learned thresholds.

    Args:
        files: ``thresholds.json`` of each run.
        output: PNG to write.
        mark: of the command that draws.
    """
    runs = [json.loads(path.read_text()) for path in files]
    protocols = list(dict.fromkeys(row["protocol"] for run in runs for row in run["rows"]))
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for colour, protocol in zip(COLOURS, protocols, strict=False):
        curves = [_curve(run["rows"], protocol) for run in runs]
        places = sorted(set.intersection(*(set(curve) for curve in curves)))
        means = [100 * fmean(curve[place] for curve in curves) for place in places]
        spreads = [100 * pstdev(curve[place] for curve in curves) for place in places]
        axes.plot(places, means, color=colour, label=protocol.upper())
        low, high = zip(
            *((mean - spread, mean + spread) for mean, spread in zip(means, spreads, strict=True)), strict=True
        )
        axes.fill_between(places, low, high, color=colour, alpha=0.25, linewidth=0)
    learned = [run["learned"] for run in runs]
    axes.axvspan(min(learned), max(learned), color="gray", alpha=0.3, linewidth=0)
    axes.axvline(fmean(learned), color="black", label="learned threshold, mean and range")
    axes.set(xlabel="threshold", ylabel="Dice, percent", title=f"Threshold line search, {_number(runs)}")
    axes.legend()
    return save_figure(figure, output, mark)


def draw_misalignment(files: Sequence[Path], output: Path, mark: str = "") -> Path:
    """Draw segmentation Dice over alignment Dice, a point for each pair of slices and organ.

    Args:
        files: ``misalignment.json`` of each run.
        output: PNG to write.
        mark: of the command that draws.
    """
    runs = [json.loads(path.read_text()) for path in files]
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for run in runs:
        for row in run["rows"]:
            points[row["organ"]].append((100 * row["alignment_dice"], 100 * row["dice"]))
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for index, (organ, pairs) in enumerate(sorted(points.items())):
        alignment, dice = zip(*pairs, strict=True)
        axes.scatter(alignment, dice, s=9, alpha=0.5, linewidths=0, color=COLOURS[index % len(COLOURS)], label=organ)
    axes.set(xlim=(-2, 102), ylim=(-2, 102), title=f"Slices of support and query, {_number(runs)}")
    axes.set(xlabel="alignment Dice, percent", ylabel="segmentation Dice, percent")
    axes.legend(markerscale=2)
    return save_figure(figure, output, mark)


def _curve(rows: Sequence[dict[str, Any]], protocol: str) -> dict[float, float]:
    """Mean Dice of a run at each threshold."""
    grouped: dict[float, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["protocol"] == protocol:
            grouped[row["threshold"]].append(row)
    return {place: summarise(group)[protocol]["mean"] for place, group in grouped.items()}


def _number(runs: Sequence[Any]) -> str:
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
