"""Kills and full disks for tests: real processes, ended outright, and small file systems that fill up.

The child is a fork of the test's process: what the test has imported need not be imported again. Moments are calls that
change files, as Python's audit hooks report them before they happen. Files that C code writes (torch, ITK) have no such
moments of their own: use ``kill_when`` with a pattern, or ``kill_at_random``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Command = Callable[[], object]
_CHANGES = ("os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")


def kill_at_random(command: Command, longest: float, seed: int) -> bool:
    """Run a command in a process of its own and kill it after 0 to ``longest`` seconds; tell whether it was killed."""
    import random

    child = _start(command)
    time.sleep(random.Random(seed).uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    return _wait(child) == -signal.SIGKILL


def kills_at_random(command: Command, count: int = 20) -> Iterator[int]:
    """Run a command to its end, then kill it ``count`` times at random instants; yields after each try, also in vain.

    The command is run once more than is yielded, first of all.
    """
    start = time.monotonic()
    assert finish(command) == 0
    longest = time.monotonic() - start
    killed = 0
    for seed in range(10 * count):
        killed += kill_at_random(command, longest, seed)
        yield seed
        if killed == count:
            return
    pytest.fail(f"only {killed} of {10 * count} tries came before the end of the command")


def kill_when(command: Command, folder: Path, pattern: str, delay: float = 0.0, timeout: float = 120) -> bool:
    """Kill a command ``delay`` seconds after a new path that fits the pattern appears anywhere below the folder.

    Hidden names are found too. Returns whether it was killed; not where it ended before.
    """
    before = set(folder.rglob(pattern))
    child = _start(command)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        if _appeared(folder, pattern, before):
            time.sleep(delay)
            break
    os.kill(child, signal.SIGKILL)
    return _wait(child) == -signal.SIGKILL


def kill_at_moment(command: Command, moment: int, folder: Path) -> bool:
    """Kill a command right before its change number ``moment`` (0, 1, ...) of files below a folder.

    Changes are files opened for writing, renamed, linked, deleted, flushed to disk, and folders made or deleted, all by
    the command's own process. Returns whether it was killed; not where it makes fewer changes.
    """

    def counted() -> None:
        left = moment

        def change() -> None:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

        _watch(folder, change)
        command()

    return _wait(_start(counted)) == -signal.SIGKILL


def count_moments(command: Command, folder: Path) -> int:
    """Run a command to its end in a process of its own and count its changes, as ``kill_at_moment`` numbers them."""
    reader, writer = os.pipe()

    def counted() -> None:
        _watch(folder, lambda: os.write(writer, b"."))
        command()

    child = _start(counted)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        count = len(stream.read())
    status = _wait(child)
    assert status == 0, f"the command ended with status {status}"
    return count


def finish(command: Command) -> int:
    """Run a command to its end in a process of its own; returns its exit status."""
    return _wait(_start(command))


@contextmanager
def mounted_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a disk in memory that holds no more than ``size`` (``"2m"``); skip the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command: tests on a full disk did not run")
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed here ({done.stderr.strip()}): tests on a full disk did not run")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _start(command: Command) -> int:
    """Fork a child that runs the command, without the test's output, and ends without its clean-up."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        command()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()  # pytest shows it with a failing test
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _appeared(folder: Path, pattern: str, before: set[Path]) -> bool:
    try:
        return any(path not in before for path in folder.rglob(pattern))
    except OSError:  # a folder went away while it was searched
        return False


def _watch(folder: Path, change: Callable[[], object]) -> None:
    """Call before each change of files below the folder; for good, in a child that ends."""
    inside = os.path.realpath(folder) + os.sep

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and _opens_for_writing(*arguments)
        if (writes or event in _CHANGES) and any(_is_below(part, inside) for part in arguments[:2]):
            change()

    def flush(descriptor: Any) -> None:
        change()
        fsync(descriptor)

    fsync, os.fsync = os.fsync, flush
    sys.addaudithook(hook)


def _opens_for_writing(path: Any, mode: Any, flags: Any) -> bool:
    if isinstance(path, int):
        return False
    return bool(set(mode or "") & set("wax+")) or bool((flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _is_below(path: Any, inside: str) -> bool:
    return isinstance(path, (str, bytes, os.PathLike)) and os.path.abspath(os.fsdecode(path)).startswith(inside)
