"""Dice, HD95 and ASSD of every case and organ, written as CSV and JSON."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.metrics import compute_average_surface_distance, compute_dice, compute_hausdorff_distance
from torch import Tensor

from ..data.reading import file_name, stem
from ..files.writing import whole_file, write_json
from ..inferers import FewShotInferer, FewShotVolumeInferer
from .averages import dice_table

FIELDS = ("protocol", "case", "organ", "dice", "hd95_mm", "assd_mm")


class CaseMetrics:
    """Ignite handler that scores each evaluated volume, one row per organ.

    Dice is 2 tp / (2 tp + fp + fn) over the whole volume; outside of the slices that a protocol segments the
    prediction is background, so under EP1 it counts the organ's own slices, as published.

    Args:
        output_dir: folder for ``cases.csv`` and ``cases.json``.
        organ_names: names to label values, as in ``dataset.json``; unnamed organs are called by their value.
        distances: also compute HD95 and ASSD in mm; they take longer than Dice.
    """

    def __init__(self, output_dir: str, organ_names: dict[str, int] | None = None, distances: bool = True) -> None:
        self.output_dir = Path(output_dir)
        self.organ_names = {int(value): name for name, value in (organ_names or {}).items()}
        self.distances = distances
        self.protocol = ""
        self.rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Score after every iteration of a ``SupervisedEvaluator``."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Score the decollated output: masks ``pred`` and ``label`` ``(N, X, Y, Z)`` of ``OrganMasksd``."""
        output: Any = engine.state.output
        for item in output:
            pred, label = item["pred"][None], item["label"][None]
            scores = {"dice": compute_dice(pred, label, include_background=True, ignore_empty=False)}
            if self.distances:
                options: dict[str, Any] = {
                    "include_background": True,
                    "spacing": [float(size) for size in item["label"].pixdim],
                }
                scores["hd95_mm"] = compute_hausdorff_distance(pred, label, percentile=95, **options)
                scores["assd_mm"] = compute_average_surface_distance(pred, label, symmetric=True, **options)
            case = stem(file_name(item["image"]))
            for index, organ in enumerate(torch.as_tensor(item["image"].meta["support_organs"]).flatten().tolist()):
                name = self.organ_names.get(organ, str(organ))
                values = {key: _finite(column[0, index]) for key, column in scores.items()}
                self.rows.append({"protocol": self.protocol, "case": case, "organ": name, **values})

    def write(self) -> None:
        """Write the rows of all protocols so far, each file at once."""
        write_json(self.output_dir / "cases.json", self.rows)
        with whole_file(self.output_dir / "cases.csv") as partial, partial.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, FIELDS)
            writer.writeheader()
            writer.writerows(self.rows)


def evaluate(
    evaluator: Engine, inferer: FewShotInferer | FewShotVolumeInferer, cases: CaseMetrics, protocols: Sequence[str]
) -> None:
    """Run an evaluator once per protocol, write the per-case results and print the mean Dice per organ.

    Args:
        evaluator: ``SupervisedEvaluator`` with ``cases`` among its handlers.
        inferer: the evaluator's inferer.
        cases: collects the rows.
        protocols: names such as ``ep1`` and ``ep2``.
    """
    collect(evaluator, inferer, cases, protocols)
    cases.write()
    print(dice_table(cases.rows))
    print(f"per case: {cases.output_dir / 'cases.csv'}")


def collect(
    evaluator: Engine, inferer: FewShotInferer | FewShotVolumeInferer, cases: CaseMetrics, protocols: Sequence[str]
) -> None:
    """Fill ``cases`` anew, without writing; arguments as for ``evaluate``."""
    cases.rows.clear()
    for protocol in protocols:
        inferer.use_protocol(protocol)
        cases.protocol = protocol
        evaluator.run()


def _finite(value: Tensor) -> float | None:
    """Round for the files; an undefined distance (an empty mask) is None, an empty cell."""
    number = float(value)
    return round(number, 6) if math.isfinite(number) else None
