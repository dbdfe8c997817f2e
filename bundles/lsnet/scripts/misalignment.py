"""How much may support and query be shifted against each other? LSNet's second ablation (section 4.2, figure 3)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from common.evaluation import CaseMetrics, collect
from common.files.writing import write_json
from common.inferers import FewShotInferer
from common.inferers.support import read_support


def measure_misalignment(
    evaluator: Engine, inferer: FewShotInferer, cases: CaseMetrics, protocols: Sequence[str]
) -> None:
    """Score every pair of support and query slice that shows an organ, and write ``misalignment.json``.

    Its rows give the alignment Dice, between the reference masks of support and query slice (the mean over the support
    slices, where there are several), and the segmentation Dice, between prediction and reference of the query slice.

    Args:
        evaluator: ``SupervisedEvaluator`` with ``cases`` among its handlers, on the preprocessed grid.
        inferer: the evaluator's inferer.
        cases: names the protocol and the organs; its folder gets the file.
        protocols: names such as ``k12``.
    """
    rows: list[dict[str, Any]] = []

    def score(engine: Engine) -> None:
        output: Any = engine.state.output
        for item in output:
            for organ, slices in _pair_scores(item, inferer).items():
                name = cases.organ_names.get(organ, str(organ))
                rows.extend({"protocol": cases.protocol, "organ": name, **values} for values in slices)

    with evaluator.add_event_handler(Events.ITERATION_COMPLETED, score):
        collect(evaluator, inferer, cases, protocols)
    write_json(cases.output_dir / "misalignment.json", {"rows": rows})


def draw(files: Sequence[Path], output: Path, mark: str = "") -> Path:
    """Draw segmentation Dice over alignment Dice, a point for each pair of slices and organ.

    Args:
        files: ``misalignment.json`` of each run.
        output: PNG to write.
        mark: of the command that draws.
    """
    from matplotlib.figure import Figure

    from common.results.pictures import COLOURS, save_figure

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
    axes.set(xlim=(-2, 102), ylim=(-2, 102), title=f"Slices of support and query, runs: {len(runs)}")
    axes.set(xlabel="alignment Dice, percent", ylabel="segmentation Dice, percent")
    axes.legend(markerscale=2)
    return save_figure(figure, output, mark)


def _pair_scores(item: dict[str, Any], inferer: FewShotInferer) -> dict[int, list[dict[str, float]]]:
    """Score one case: masks ``pred`` and ``label`` ``(N, X, Y, Z)``, ``image`` with its support in the meta."""
    inputs = item["image"][None]
    support = read_support(inputs)
    drawn = torch.cat(support.labels, dim=2)
    scores = {}
    for rows in inferer.pair_slices(inputs, support):
        index, organ = int(rows[0, 1]), int(support.organs[rows[0, 1]])
        label, pred = (item[key].as_tensor()[index][..., rows[:, 0]].bool() for key in ("label", "pred"))
        shown = (drawn == organ)[..., rows[:, 2:]]
        alignment = _dice(shown, label.unsqueeze(-1)).mean(-1)
        dice, present = _dice(pred, label), label.flatten(0, 1).any(0)
        scores[organ] = [
            {"slice": int(place), "alignment_dice": round(float(before), 6), "dice": round(float(after), 6)}
            for place, before, after in zip(rows[present, 0], alignment[present], dice[present], strict=True)
        ]
    return scores


def _dice(first: Tensor, second: Tensor) -> Tensor:
    """Dice over the first two axes of masks ``(X, Y, ...)``, one of which is not empty."""
    overlap = (first & second).sum((0, 1))
    return 2.0 * overlap / (first.sum((0, 1)) + second.sum((0, 1))).clamp(min=1)
