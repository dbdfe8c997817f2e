"""One thread for what can happen while a scan is segmented: the next ones are read, the last one is saved.

One and no more, because saving inverts the very transforms that reading uses, and inverting changes them for the time
being (``allow_missing_keys``). What runs here must not wait for something else that is to run here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any
from weakref import WeakSet

from ..stopping import abandoned

_asked: WeakSet[Future[Any]] = WeakSet()
os.register_at_fork(after_in_child=_asked.clear)


def in_background(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Call a function in this process's background thread, after all that was asked for before.

    Args:
        function: what to call.
        arguments: for it.
    """
    future = _thread(os.getpid()).submit(function, *arguments)
    _asked.add(future)
    return future


def abandon() -> bool:
    """Drop what has not begun, and tell whether something is still being done: Python would wait for it at its end."""
    _thread(os.getpid()).shutdown(wait=False, cancel_futures=True)
    _thread.cache_clear()
    return any(future.running() for future in _asked)


abandoned.append(abandon)


@cache
def _thread(process: int) -> ThreadPoolExecutor:
    """The thread of a process: a forked one does not inherit its parent's."""
    return ThreadPoolExecutor(1)
