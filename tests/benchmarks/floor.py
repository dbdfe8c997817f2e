"""What this machine can do at most: a large matrix product and a large copy."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.measure import CUDA, DEVICE, take_turns

SIDE = 16384 if CUDA else 3072
COPIED = 2**32 if CUDA else 2**29  # bytes


def measure() -> dict[str, Any]:
    """Operations per second of matrix products, bytes per second read and written by a copy."""
    functions = {}
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        left, right = (torch.randn(SIDE, SIDE, device=DEVICE).to(dtype) for _ in range(2))
        functions[name] = lambda left=left, right=right: torch.matmul(left, right)
    source = torch.ones(COPIED // 4, device=DEVICE)
    target = torch.empty_like(source)
    functions["copy"] = lambda: target.copy_(source)
    seconds = take_turns(functions, rounds=5)
    products = {name: 2 * SIDE**3 / seconds[name]["min"] for name in ("float32", "bfloat16")}
    return {
        "device": torch.cuda.get_device_name() if CUDA else _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "operations_per_second": products,
        "bytes_per_second": 2 * COPIED / seconds["copy"]["min"],
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor()
    lines = path.read_text().splitlines()
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    units = ", AVX-512 bfloat16" if any("avx512_bf16" in line for line in lines) else ""
    return f"{name}{units}"
