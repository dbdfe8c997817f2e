"""Putting a folder in the place of another in one step, which POSIX's rename does for files only."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from .locks import lock_path

# Name of the call, and the arguments that stand for "this folder" and "exchange", by platform.
_CALLS = {"linux": ("renameat2", -100, 2), "darwin": ("renameatx_np", -2, 2)}


def put_in_place(source: Path, target: Path) -> None:
    """Give a folder the name ``target``; what had that name gets the name ``source``.

    Where the system or the disk cannot exchange names, two renames do it; ``put_back`` mends a kill between them.

    Args:
        source: existing folder.
        target: beside it, with the same parent.

    Raises:
        OSError: neither worked; both are as they were.
    """
    put_back(target)
    try:
        os.rename(source, target)
        return
    except OSError:
        if not os.path.lexists(target):
            raise
    if not _exchange(source, target):
        _rename_twice(source, target)


def put_back(target: Path) -> None:
    """Give a folder its name back where a killed ``put_in_place`` has put it aside and nothing in its place.

    Args:
        target: folder that is to be read or replaced.

    Raises:
        OSError: it is there and cannot be renamed.
    """
    aside = _aside(target)
    if not os.path.lexists(aside):
        return
    with suppress(FileNotFoundError, BlockingIOError):  # a living process is at it
        lock = lock_path(aside)
        try:
            if os.path.lexists(target):
                shutil.rmtree(aside, ignore_errors=True)
            else:
                os.rename(aside, target)
        finally:
            os.close(lock)


def _rename_twice(source: Path, target: Path) -> None:
    aside, lock = _aside(target), lock_path(target)
    try:
        os.rename(target, aside)
        try:
            os.rename(source, target)
        except OSError:
            os.rename(aside, target)
            raise
        os.rename(aside, source)
    finally:
        os.close(lock)


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.replaced")


def _exchange(source: Path, target: Path) -> bool:
    if sys.platform not in _CALLS:
        return False
    name, here, exchange = _CALLS[sys.platform]
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if call is None:
        return False
    if call(here, os.fsencode(source), here, os.fsencode(target), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EXDEV, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(source), None, str(target))
