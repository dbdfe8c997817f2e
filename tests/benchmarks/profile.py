"""The kernels that take most of a fast training step of ADNet; ``python -m tests.benchmarks.profile``."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from torch.profiler import ProfilerActivity, profile

from tests.benchmarks.measure import CUDA
from tests.benchmarks.training import FLOWS, make_trainer, train

STEPS = 20 if CUDA else 2
KERNELS = 10


def measure() -> list[dict[str, Any]]:
    """The ten longest, with their share of all."""
    configs, own = FLOWS["fast"]
    # A replayed graph hides which step a kernel is of, not which kernel it is.
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer("adnet", configs, STEPS, folder, **own)
        train(trainer)
        with profile(activities=[ProfilerActivity.CUDA if CUDA else ProfilerActivity.CPU]) as found:
            train(trainer)
    events = found.key_averages()
    times = {event.key: event.self_device_time_total if CUDA else event.self_cpu_time_total for event in events}
    calls = {event.key: event.count for event in events}
    total = sum(times.values())
    longest = sorted(times, key=lambda name: -times[name])[:KERNELS]
    return [{"kernel": name, "calls": calls[name] / STEPS, "share": times[name] / total} for name in longest]


if __name__ == "__main__":
    print(json.dumps(measure()))
