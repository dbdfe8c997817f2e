"""In which precision inference encodes images: most of its time goes there."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..networks import FewShotSegmenter

PRECISIONS = ("float32", "bfloat16", "auto")


def encode(segmenter: FewShotSegmenter, images: Tensor, precision: str) -> Tensor:
    """Encode images in a chosen precision; prototypes and scores stay in float32.

    Args:
        segmenter: few-shot network.
        images: ``(N, 1, *S)``.
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor computes with it.

    Returns:
        Features ``(N, F, *s)``, float32.
    """
    if precision == "float32" or (precision == "auto" and not _computes_with_bfloat16(images.device)):
        return segmenter.encode(images)
    with torch.autocast(images.device.type, torch.bfloat16):
        return segmenter.encode(images).float()


def check_precision(precision: str) -> str:
    """Return a precision that exists.

    Raises:
        InputError: it does not.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision is {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, got {precision}")
    return precision


def _computes_with_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Processors without such units emulate bfloat16, slower than float32.
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
