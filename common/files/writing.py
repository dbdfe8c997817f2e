"""The one place that writes files under their final names: each is whole, or what was there before.

A file is written under a hidden name in the same folder, flushed to the disk, verified and renamed. The hidden file is
locked while its writer lives, so that the next writer can tell a killed run's leftover, which it removes.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InputError
from .exchange import put_in_place
from .locks import lock_path

_HIDDEN = re.compile(r"\.[0-9a-f]+\.partial\..")
_FULL = (errno.ENOSPC, errno.EDQUOT)


class WriteError(OSError):
    """A file could not be written; the message is one line with the file and the fix."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def whole_file(path: Path, check: Callable[[Path], object] | None = None) -> Iterator[Path]:
    """Give a hidden name to write to; what was written gets the path's name when all went well.

    Args:
        path: file to write or to replace; its folder is made where missing.
        check: called with the hidden file once it is on the disk; raises where it is not as it should be.

    Raises:
        WriteError: the disk is full or cannot be written to; the path is as it was.
    """
    with _draft(path, _new_file) as draft:
        yield draft
        _flush(draft)
        if check is not None:
            check(draft)
        os.replace(draft, path)
        _flush(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a hidden folder to write to, which takes the path's place when all went well.

    Args:
        path: folder to write or to replace.

    Raises:
        WriteError: as for ``whole_file``.
    """
    with _draft(path, _new_folder) as draft:
        yield draft
        for part in (*draft.rglob("*"), draft):
            if not part.is_symlink():
                _flush(part)
        put_in_place(draft, path)
        _flush(path.parent)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file in one step.

    Args:
        path: as for ``whole_file``.
        content: what the file holds.

    Raises:
        WriteError: as for ``whole_file``.
    """

    def check(draft: Path) -> None:
        if (size := draft.stat().st_size) != memoryview(content).nbytes:
            raise OSError(errno.EIO, f"{size} of {memoryview(content).nbytes} bytes arrived")

    with whole_file(path, check) as draft:
        draft.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write a text file in UTF-8 in one step; arguments and errors are those of ``write_bytes``."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file in one step.

    Args:
        path: as for ``whole_file``.
        content: what JSON can hold.

    Raises:
        WriteError: as for ``whole_file``.
    """
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_state(path: Path, state: Any) -> None:
    """Write a checkpoint or weights with ``torch.save`` in one step; all of it is read back against its checksums.

    Args:
        path: as for ``whole_file``.
        state: what torch can save.

    Raises:
        WriteError: as for ``whole_file``.
    """
    import torch

    with whole_file(path, check_archive) as draft, draft.open("wb") as stream:
        torch.save(state, stream)  # given a path, torch would write the hidden name into the archive


def check_archive(path: Path) -> None:
    """Read a zip archive, which every ``.pt`` is, against the checksums in it.

    Raises:
        OSError: it is damaged.
    """
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            for entry in archive.infolist():
                if entry.external_attr & 0x10:  # a folder, from which torch reads nothing
                    damaged = entry.filename
    except zipfile.BadZipFile as error:
        raise OSError(errno.EIO, f"it was not read back as it was written: {error}") from error
    if damaged is not None:
        raise OSError(errno.EIO, f"it was not read back as it was written: {damaged}")


def remove_leftovers(folder: Path) -> None:
    """Remove hidden files and folders that killed runs have left, and none that a living process writes to."""
    for path in [path for path in folder.iterdir() if _HIDDEN.match(path.name)]:
        with suppress(OSError):  # locked, or another user's
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(path)
            finally:
                os.close(lock)


@contextmanager
def _draft(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Give a new hidden file or folder that is locked, and gone in the end."""
    draft = path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        draft, lock = _locked(path, make)
        try:
            yield draft
        except Exception as error:
            if _hides_reason(error) and _is_full(path.parent):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
        finally:
            os.close(lock)
            _remove(draft)
    except OSError as error:
        raise (_explained(error, path) if _concerns(error, draft, path) else error) from error.__cause__


def _hides_reason(error: Exception) -> bool:
    """Tell whether an error may be a library's own for a full disk: torch raises RuntimeError, shutil a list."""
    return error.errno is None if isinstance(error, OSError) else not isinstance(error, InputError)


def _concerns(error: OSError, draft: Path, path: Path) -> bool:
    """Tell whether an error is about what is written, not about a file that was read for it."""
    if isinstance(error, WriteError) or error.errno is None:
        return False
    if error.errno in _FULL or error.filename is None:
        return True
    place = Path(os.fsdecode(error.filename))
    hidden = _HIDDEN.match(place.name) and place.parent == path.parent  # it could not even be made
    return bool(hidden) or place.is_relative_to(draft) or path.is_relative_to(place)


def _explained(error: OSError, path: Path) -> WriteError:
    reason = f"not written: {error.strerror}; check the folder and the disk"
    if error.errno in _FULL:
        reason = f"no space left in {path.parent}; free some and run again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = f"not written: {error.strerror}; choose a folder that you may write to"
    return WriteError(error.errno, f"{path}: {reason}")


def _locked(path: Path, make: Callable[[Path], None]) -> tuple[Path, int]:
    while True:
        draft = path.with_name(f".{secrets.token_hex(4)}.partial.{path.name[-50:]}")  # no longer than a name may be
        make(draft)
        with suppress(FileNotFoundError, BlockingIOError):  # taken for a leftover before it was locked
            return draft, lock_path(draft)


def _new_file(path: Path) -> None:
    path.touch(exist_ok=False)


def _new_folder(path: Path) -> None:
    path.mkdir()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some file systems have no flush for folders
            raise
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_full(folder: Path) -> bool:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < 2**16 or (disk.f_files > 0 and disk.f_favail == 0)
