"""One thread for what can happen while a scan is segmented: the next ones are read, the last one is saved.

MONAI's transforms change themselves while they are inverted: one that runs at the same time could leave no trace of
what it did, and the next scan would be restored wrongly. So no two of them may run at once.
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
