"""Slices of different sizes on one canvas, centre upon centre: what lies where is compared by some methods."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def common_size(volumes: Sequence[Tensor]) -> tuple[int, int]:
    """Return the in-plane size that holds all volumes ``(X, Y, Z)``."""
    return max(volume.shape[0] for volume in volumes), max(volume.shape[1] for volume in volumes)


def place(volume: Tensor, size: tuple[int, int], value: float) -> Tensor:
    """Pad a volume in plane, index ``n // 2`` upon ``size // 2``.

    Args:
        volume: ``(X, Y, Z)``.
        size: in-plane size, not smaller than the volume's.
        value: outside of it.

    Returns:
        ``(*size, Z)``; the volume itself where it has that size.
    """
    if tuple(volume.shape[:2]) == size:
        return volume
    (left, front), (right, back) = _margins(volume.shape[:2], size)
    return F.pad(volume, (0, 0, front, back, left, right), value=value)


def take_out(volumes: Tensor, size: Sequence[int]) -> Tensor:
    """Undo ``place``: ``(N, X, Y, Z)`` to ``(N, *size, Z)``."""
    (left, front), _ = _margins(size, volumes.shape[1:3])
    return volumes[:, left : left + size[0], front : front + size[1]]


def _margins(inner: Sequence[int], outer: Sequence[int]) -> tuple[list[int], list[int]]:
    before = [large // 2 - small // 2 for small, large in zip(inner, outer, strict=True)]
    after = [large - small - first for small, large, first in zip(inner, outer, before, strict=True)]
    return before, after
