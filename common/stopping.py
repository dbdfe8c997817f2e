"""Ctrl-C and SIGTERM: an exception where the work is done, and no process left behind."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

PATIENCE = 10.0  # seconds in which a second signal is the same request: a terminal and a parent both send one
MERCY = 60.0  # seconds that a process gets to save its state

# Told when the process ends at once; each says whether it was still at work.
abandoned: list[Callable[[], bool]] = []
_running: set[subprocess.Popen[Any]] = set()
_last_request = -PATIENCE
_held: list[int] | None = None


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: what handles Ctrl-C handles it."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` on SIGINT and ``Terminated`` on SIGTERM while inside.

    Only the first of several signals within ten seconds counts, so that state can be saved. Outside of the main thread
    nothing changes, and what ignores a signal goes on ignoring it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}
    for kind, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(kind, _request)
    try:
        yield
    finally:
        for kind, handler in before.items():
            if handler is not None:
                signal.signal(kind, handler)


@contextmanager
def held() -> Iterator[None]:
    """Let a signal wait until the block inside is done: half a start of a process cannot be ended."""
    global _held
    waiting = _held = []
    try:
        yield
    finally:
        _held = None
    if waiting:
        _request(waiting[0], None)


def run_process(command: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run a program as ``subprocess.run`` does; it is asked to end, and waited for, where we are stopped.

    It does not see the terminal's Ctrl-C, so that it is asked once: a second time would cut its saving short.

    Args:
        command: program and arguments.
        options: of ``subprocess.Popen``.
    """
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        _running.add(process)
        try:
            output, errors = process.communicate()
        except BaseException:
            process.terminate()
            _wait(process)
            raise
        finally:
            _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def end_processes() -> None:
    """Ask every program of ``run_process`` and every worker to end, and wait for them."""
    for worker in multiprocessing.active_children():
        worker.terminate()
    programs = list(_running)
    for program in programs:
        program.terminate()
    for program in programs:
        _wait(program)
    for worker in multiprocessing.active_children():
        worker.join(MERCY)


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM from now to the end of ``stoppable``, and when Python itself ends."""
    if threading.current_thread() is threading.main_thread():
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, signal.SIG_IGN)
        atexit.unregister(ignore_signals)
        atexit.register(ignore_signals)


def leave(status: int) -> None:
    """End this process at once where the background thread is at work: nobody wants what it does any more.

    What it is writing is a draft, which the next writer removes. Where it is idle nothing happens.
    """
    if any(abandon() for abandon in abandoned):
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _request(number: int, frame: FrameType | None) -> None:
    global _last_request
    if _held is not None:
        _held.append(number)
        return
    now = time.monotonic()
    if now - _last_request < PATIENCE:
        return
    _last_request = now
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _wait(process: subprocess.Popen[Any]) -> None:
    try:
        process.wait(MERCY)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
