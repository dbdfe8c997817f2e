"""Locks on files and folders, which the end of the process that holds them releases, whatever ends it."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path


def lock_path(path: Path) -> int:
    """Lock a file or folder as long as the descriptor is open; where the file system has no locks, without one.

    Args:
        path: what to lock; it exists.

    Returns:
        Open descriptor.

    Raises:
        FileNotFoundError: there is no such path, or what had it was removed or renamed meanwhile.
        BlockingIOError: another process holds the lock.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _lock(descriptor)
        if not os.path.samestat(os.fstat(descriptor), os.stat(path)):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return
