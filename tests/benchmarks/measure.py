"""Times and memory: functions take turns, so that what else the machine does hits all alike."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from common.episodes import EpisodeLoader

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")


def take_turns(functions: dict[str, Callable[[], Any]], rounds: int, warm_up: int = 1) -> dict[str, dict[str, float]]:
    """Seconds of each function: median, least and greatest of some rounds, after some that do not count."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warm_up + rounds):
        for name, function in functions.items():
            seconds = seconds_of(function)
            if turn >= warm_up:
                taken[name].append(seconds)
    return {name: spread(seconds) for name, seconds in taken.items()}


def seconds_of(function: Callable[[], Any]) -> float:
    """Time one call, the GPU's work included."""
    start = time.perf_counter()
    function()
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def seconds_of_episodes(loader: EpisodeLoader, count: int = 200) -> dict[str, float]:
    """Time the first episodes one by one."""
    return spread([seconds_of(partial(loader.episodes, [number])) for number in range(count)])


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def peak_bytes(function: Callable[[], Any]) -> int:
    """Memory that a call needs at most, beyond what is held already: of the GPU, or of the process."""
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - held
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls left would be used again, unseen
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    held = status("VmRSS")
    function()
    return status("VmHWM") - held


def status(name: str) -> int:
    """A number of this process, in bytes: ``VmRSS``, what it holds, ``VmHWM``, the most it held, ``RssAnon``, ..."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
