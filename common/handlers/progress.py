"""What a training shows: its loss, how far it is, and how long it will take."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.handlers import StatsHandler, TensorBoardStatsHandler

from ..errors import in_server

STEPS = 20  # what the first ones tell


class TrainingReport:
    """Show a training: the mean loss of each epoch in the log, a curve for TensorBoard, a bar on a terminal.

    Args:
        log_dir: folder of the curves; a point every 50 steps.
        estimate: also print after twenty steps how long the training takes.

    In a MONAI Label server, which shows a training's last lines, the last one says what it ended with.
    """

    def __init__(self, log_dir: str | Path, estimate: bool = False) -> None:
        shown: Any = {"tag_name": "loss", "output_transform": _loss}
        self.handlers: list[Any] = [
            StatsHandler(iteration_log=False, **shown),
            TensorBoardStatsHandler(log_dir=str(log_dir), iteration_log=50, **shown),
            ProgressBar(desc="epoch", disable=None),  # none where standard error is no terminal
        ]
        if estimate:
            self.handlers.append(TimeEstimate())
        if in_server():
            self.handlers.append(LastLoss())

    def attach(self, engine: Engine) -> None:
        """Add to a trainer."""
        for handler in self.handlers:
            handler.attach(engine)


class TimeEstimate:
    """Print, after twenty steps, how long the rest of a training will take.

    The first step is left out: it loads and compiles.
    """

    def attach(self, engine: Engine) -> None:
        """Add to a trainer."""
        self._done = 0
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._count)

    def _count(self, engine: Engine) -> None:
        self._done += 1
        if self._done == 1:
            self._start = time.monotonic()
        if self._done == STEPS and engine.state.max_epochs and engine.state.epoch_length:
            left = engine.state.max_epochs * engine.state.epoch_length - engine.state.iteration
            seconds = (time.monotonic() - self._start) / (STEPS - 1) * left
            print(f"{left} steps are left; at the pace of the first {STEPS} they take {_duration(seconds)}", flush=True)


class LastLoss:
    """Print, when a training is over, its number of epochs and the mean loss of the last one."""

    def attach(self, engine: Engine) -> None:
        """Add to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.COMPLETED, self._tell)

    def _begin(self) -> None:
        self._sum: Any = 0.0
        self._steps = 0

    def _add(self, engine: Engine) -> None:
        self._sum = self._sum + torch.as_tensor(_loss(engine.state.output)).detach()
        self._steps += 1

    def _tell(self, engine: Engine) -> None:
        mean = float(self._sum) / max(1, self._steps)
        print(f"trained for {engine.state.epoch} epochs; mean loss of the last one {mean:.4f}", flush=True)


def _loss(output: Any) -> Any:
    return output["loss"]


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:.1f} {unit}"
    return f"about {max(1, round(seconds))} seconds"
