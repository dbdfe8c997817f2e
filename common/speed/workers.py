"""Worker processes that never outlive the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ..stopping import held


def in_workers(
    function: Callable[..., Any],
    jobs: Sequence[tuple[Any, ...]],
    workers: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...] = (),
) -> Iterator[Any]:
    """Call a function once for each job, in processes; give the results in the order in which they are ready.

    Args:
        function: of a module's top level.
        jobs: arguments of each call.
        workers: number of processes.
        start: called first in each process.
        arguments: for ``start``.

    Raises:
        RuntimeError: a process died.
    """
    others = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (start, *arguments))
    try:
        with held():
            futures = [executor.submit(function, *job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    except (KeyboardInterrupt, GeneratorExit):  # nobody waits for what they are doing
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a worker process died while preparing scans (out of memory, or a script without "
            '`if __name__ == "__main__":`): set num_workers to 1'
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(start: Callable[..., None], *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is for the one that started us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
