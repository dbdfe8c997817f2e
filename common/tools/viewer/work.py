"""Work beside the window: one segmentation at a time in the background, with progress and a way to end it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from threading import Event
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal

from ...errors import one_line, root_cause, user_mistake
from .scans import Scan
from .session import Answer, Drawn, Session

logger = logging.getLogger(__name__)


class CancelledError(Exception):
    """A person has ended the work."""


class Segmentation(QObject):
    """Segments scans one after the other in a thread; each answer comes as it is made.

    Args:
        session: gives the model, and is called in the thread, since the first call loads it.
        scans: to segment.
        supports: annotated scans, their drawings copied.
        largest_components: see ``Session.segment``.

    Attributes:
        progressed: done and to be done, in thousandths.
        answered: an ``Answer``.
        failed: one line for a scan that could not be segmented; the others are still segmented.
        ended: whether all was done, not cancelled.
    """

    progressed = Signal(int, int)
    answered = Signal(object)
    failed = Signal(str)
    ended = Signal(bool)

    def __init__(
        self,
        session: Callable[[], Session],
        scans: Sequence[Scan],
        supports: Sequence[Drawn],
        largest_components: int | None = None,
    ) -> None:
        super().__init__()
        self._session = session
        self._scans = scans
        self._supports = supports
        self._largest_components = largest_components
        self._cancelled = Event()
        # Mistakes of a person are lines; what is left is a fault of the program, and napari shows it.
        self._worker: Any = create_worker(self._run, _start_thread=False, _ignore_errors=True)
        self._worker.yielded.connect(self._take)
        self._worker.errored.connect(self._fail)
        self._worker.finished.connect(lambda: self.ended.emit(not self._cancelled.is_set()))

    def start(self) -> None:
        """Begin."""
        self._worker.start()

    def cancel(self) -> None:
        """End as soon as the network has done its present slices."""
        self._cancelled.set()

    def _run(self) -> Iterator[Answer | str]:
        session = self._session()
        for number, scan in enumerate(self._scans):

            def tell(done: int, of: int, number: int = number) -> None:
                if self._cancelled.is_set():
                    raise CancelledError
                self.progressed.emit(round(1000 * (number + done / of)), 1000 * len(self._scans))

            try:
                yield session.segment(scan, self._supports, self._largest_components, tell)
            except Exception as error:
                if isinstance(error, CancelledError):
                    return
                mistake = user_mistake(error)
                if mistake is None:
                    raise
                yield one_line(mistake)

    def _take(self, found: Answer | str) -> None:
        if isinstance(found, str):
            self.failed.emit(found)
        else:
            self.answered.emit(found)

    def _fail(self, error: Exception) -> None:
        mistake = user_mistake(error)
        if mistake is None:
            logger.error("a fault of the program", exc_info=error)
            root = root_cause(error)
            self.failed.emit(f"internal error: {type(root).__name__}: {one_line(root)[:300]}")
        else:
            self.failed.emit(one_line(mistake))
