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


def in_background(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Call a function in this process's background thread, after all that was asked for before.

    Args:
        function: what to call.
        arguments: for it.
    """
    return _thread(os.getpid()).submit(function, *arguments)


@cache
def _thread(process: int) -> ThreadPoolExecutor:
    """The thread of a process: a forked one does not inherit its parent's."""
    return ThreadPoolExecutor(1)
