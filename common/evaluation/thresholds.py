"""Is the learned threshold a good one? ADNet's line search (section 5.3.1, figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from ..files import write_json
from ..inferers import FewShotInferer, FewShotVolumeInferer
from .cases import CaseMetrics, collect

THRESHOLDS_FILE = "thresholds.json"


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
    write_json(cases.output_dir / THRESHOLDS_FILE, {"learned": learned, "rows": rows})
