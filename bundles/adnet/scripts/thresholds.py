"""Is the learned threshold a good one? ADNet's line search (section 5.3.1, figure 7)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from common.evaluation import CaseMetrics, collect, summarise
from common.files.writing import write_json
from common.inferers import FewShotInferer, FewShotVolumeInferer


def search_thresholds(
    evaluator: Engine,
    inferer: FewShotInferer | FewShotVolumeInferer,
    cases: CaseMetrics,
    protocols: Sequence[str],
    network: nn.Module,
    thresholds: Sequence[float],
) -> None:
    """Score the query volumes with each threshold in place of the learned one, and write ``thresholds.json``.

    Args:
        evaluator: ``SupervisedEvaluator`` with ``cases`` among its handlers.
        inferer: the evaluator's inferer.
        cases: collects the rows; its folder gets the file.
        protocols: names such as ``ep1``.
        network: with a scalar parameter ``threshold``.
        thresholds: to try, on the scale of the anomaly score.
    """
    parameter: Any = network.threshold
    learned, rows = float("nan"), []

    def replace(value: float) -> None:
        nonlocal learned
        learned = parameter.item()
        with torch.no_grad():
            parameter.fill_(value)

    for value in thresholds:
        # Added last, it comes after the checkpoint has been loaded.
        with evaluator.add_event_handler(Events.STARTED, replace, value):
            collect(evaluator, inferer, cases, protocols)
        rows += [{"threshold": value, **row} for row in cases.rows]
    write_json(cases.output_dir / "thresholds.json", {"learned": learned, "rows": rows})


def draw(files: Sequence[Path], output: Path, mark: str = "") -> Path:
    """Draw mean Dice over the threshold, its deviation over runs shaded, and the learned thresholds.

    Args:
        files: ``thresholds.json`` of each run.
        output: PNG to write.
        mark: of the command that draws.
    """
    from matplotlib.figure import Figure

    from common.results.pictures import COLOURS, save_figure

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
    axes.set(xlabel="threshold", ylabel="Dice, percent", title=f"Threshold line search, runs: {len(runs)}")
    axes.legend()
    return save_figure(figure, output, mark)


def _curve(rows: Sequence[dict[str, Any]], protocol: str) -> dict[float, float]:
    """Mean Dice of a run at each threshold."""
    grouped: dict[float, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["protocol"] == protocol:
            grouped[row["threshold"]].append(row)
    return {place: summarise(group)[protocol]["mean"] for place, group in grouped.items()}
