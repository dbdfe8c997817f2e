"""Number formats that encoders compute in."""

from __future__ import annotations

import torch

from ..errors import InputError

PRECISIONS = ("float32", "bfloat16", "auto")


def check_precision(precision: str) -> str:
    """Return a precision that exists.

    Raises:
        InputError: it does not.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, got {precision}")
    return precision


def computes_in_bfloat16(precision: str, device: torch.device) -> bool:
    """Tell whether a precision means bfloat16 on a device: ``auto`` does where the device has units for it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Processors without such units emulate bfloat16, slower than float32.
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
