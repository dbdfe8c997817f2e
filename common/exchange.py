"""Putting a folder in the place of another in one step, which POSIX's rename does for files only."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

# Name of the call, and the arguments that stand for "this folder" and "exchange", by platform.
_CALLS = {"linux": ("renameat2", -100, 2), "darwin": ("renameatx_np", -2, 2)}


def put_in_place(source: Path, target: Path) -> None:
    """Give a folder the name ``target``; what had that name gets the name ``source``.

    Where the system or the disk cannot exchange names, two renames do it.

    Args:
        source: existing folder.
        target: beside it, with the same parent.

    Raises:
        OSError: neither worked; both are as they were.
    """
    try:
        os.rename(source, target)
        return
    except OSError:
        if not os.path.lexists(target):
            raise
    if not _exchange(source, target):
        aside = source.with_name(f"{source.name}.replaced")
        os.rename(target, aside)
        try:
            os.rename(source, target)
        except OSError:
            os.rename(aside, target)
            raise
        os.rename(aside, source)


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
