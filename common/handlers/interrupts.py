"""Ctrl-C and SIGTERM that wait for the end of a training step."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..stopping import PATIENCE

logger = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Context in which a signal waits while ``busy``; after ten seconds another one acts at once, as outside of it.

    Args:
        save: called before a signal acts that did not have to wait.
    """

    def __init__(self, save: Callable[[], None]) -> None:
        self.save = save
        self.busy = False
        self.pending: int | None = None
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        """Take the signals, in the main thread only: others get none."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):  # nohup asks to ignore some
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def act(self) -> None:
        """Do what the signal that waited would have done outside.

        Raises:
            KeyboardInterrupt: or what else the handler outside raises; ``SystemExit`` where it would end the process.
        """
        if self.pending is not None:
            self._act(self.pending, None)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.pending is not None:
            if time.monotonic() - self._since > PATIENCE:
                self._act(number, frame)
            return
        self.pending, self._since = number, time.monotonic()
        if self.busy:
            logger.warning("the training stops after this step; interrupt again later to stop at once")
        else:
            self.save()
            self._act(number, frame)

    def _act(self, number: int, frame: FrameType | None) -> None:
        before = self._before[number]
        if callable(before):
            before(number, frame)
        else:
            raise SystemExit(128 + number)
