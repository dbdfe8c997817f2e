"""A scan that fails is named at once, the others are still segmented, and the program ends with status 1."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from ignite.engine import Engine, Events

from .errors import InputError, one_line, user_mistake
from .files import WriteError

if TYPE_CHECKING:
    from monai.engines import SupervisedEvaluator

logger = logging.getLogger(__name__)
FAILURE = "failure"  # key of an item that could not be prepared: the one line


class ScanFailures:
    """Collect the failures of single scans; what concerns every scan ends the run at once.

    Goes into the evaluator twice: as ``iteration_update``, and as a handler, the last one. With one scan alone its
    failure ends the run.

    Args:
        scans: datalist of the scans.
    """

    def __init__(self, scans: Any) -> None:
        self.number = len(scans)
        self.failed: dict[str, str] = {}

    def __call__(self, engine: SupervisedEvaluator, batch: dict[str, Any]) -> dict[Hashable, Any]:
        """Segment the scan of a batch of one."""
        try:
            if FAILURE in batch:
                raise InputError(batch[FAILURE][0])
            return engine._iteration(engine, batch)
        except Exception as error:
            self.take(batch.get("answer", ["scan"])[0], error)
            return {}

    def take(self, answer: str, error: Exception) -> None:
        """Name a failure and keep it for the end.

        Args:
            answer: what the scan's results would have been called.
            error: what happened.

        Raises:
            Exception: the error itself where it is a fault of the program or concerns the other scans too.
        """
        mistake = user_mistake(error)
        if mistake is None or isinstance(mistake, WriteError) or self.number == 1:
            raise error
        logger.debug("traceback of the error below", exc_info=error)
        logger.error("%s", one_line(mistake))
        self.failed.setdefault(answer, one_line(mistake))

    def attach(self, engine: Engine) -> None:
        """Add to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self.summarise)

    def summarise(self) -> None:
        """End with status 1 where scans failed.

        Raises:
            InputError: with the number of scans and the first line.
        """
        if self.failed:
            first = next(iter(self.failed.values()))
            raise InputError(
                f"{len(self.failed)} of {self.number} scans failed and are named above, the others are done; "
                f"the first: {first}"
            )


def failure_of(error: Exception, item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what stands for an item that a person's mistake keeps from being prepared; None for other errors."""
    mistake = user_mistake(error)
    return None if mistake is None else {**item, FAILURE: one_line(mistake)}
