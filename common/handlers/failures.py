"""What goes wrong in an engine: a mistake is told in one line, and one scan's failure does not stop the others."""

from __future__ import annotations

import logging
import sys
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from ignite.engine import Engine, Events

from ..errors import InputError, one_line, user_mistake
from ..files.writing import WriteError
from ..speed.ahead import FAILURE

if TYPE_CHECKING:
    from monai.engines import SupervisedEvaluator

logger = logging.getLogger(__name__)


class MistakesPass:
    """Let a person's mistake, or Ctrl-C, pass an engine without what the engine and ``StatsHandler`` log of it.

    Goes before ``StatsHandler``: of the handlers of an error the first that raises is the last to be called.
    """

    def attach(self, engine: Engine) -> None:
        """Add to a trainer or evaluator."""
        engine.logger.addFilter(_tells_more_than_the_error)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._pass)

    def _pass(self, error: BaseException) -> None:
        if _will_be_told(error):
            raise error


def _tells_more_than_the_error(record: logging.LogRecord) -> bool:
    return not (_will_be_told(sys.exc_info()[1]) and "terminating due to exception" in record.getMessage())


def _will_be_told(error: BaseException | None) -> bool:
    return isinstance(error, KeyboardInterrupt | SystemExit) or user_mistake(error) is not None


class ScanFailures:
    """Collect the failures of single scans; what concerns every scan ends the run at once.

    Each is named at once, the others are still segmented, and the program ends with status 1. Goes into the evaluator
    twice: as ``iteration_update``, and as a handler, the last one. With one scan alone its failure ends the run.

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
