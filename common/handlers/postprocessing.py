"""Saving the result of one scan while the next is segmented."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ignite.engine import Engine, Events

from ..speed.background import in_background
from .failures import ScanFailures


class BackgroundPostprocessing:
    """Postprocess each item in the background while the evaluator goes on with the next one; results follow in order.

    Goes into the evaluator twice: as ``postprocessing``, which takes items and returns them as they are, and as a
    handler, which waits for the last one. What a transform raises comes up with the next item or at the end, unless it
    is the failure of a single scan.

    Args:
        transforms: what to do with an item; its return value is not used.
        failures: takes the failures of single scans.
    """

    def __init__(self, transforms: Callable[[Any], Any], failures: ScanFailures | None = None) -> None:
        self.transforms = transforms
        self.failures = failures
        self._running: Future[Any] | None = None

    def __call__(self, item: Any) -> Any:
        """Start on an item once the one before is done."""
        self.wait()
        self._running = in_background(self._transform, item)
        return item

    def _transform(self, item: Any) -> None:
        try:
            self.transforms(item)
        except Exception as error:
            if self.failures is None:
                raise
            self.failures.take(item.get("answer", "scan"), error)

    def wait(self) -> None:
        """Wait until nothing is left to do."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def attach(self, engine: Engine) -> None:
        """Add to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self.wait)
