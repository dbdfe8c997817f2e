"""Tiny volumes with supervoxels for the episode tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

Volume = dict[str, Any]


@pytest.fixture
def make_volume() -> Callable[..., Volume]:
    """Give ``make_volume(boxes, depth, subject, size)``: noise, with boxes of supervoxels, later ones on top.

    A box is ``(supervoxel, slices, area)``; on each of its slices it fills the first ``area`` pixels not yet taken.
    """

    def make(
        boxes: list[tuple[int, list[int], int]], depth: int = 6, subject: str = "a", size: tuple[int, int] = (16, 20)
    ) -> Volume:
        generator = torch.Generator().manual_seed(sum(map(ord, subject)))
        supervoxels = torch.zeros(depth, size[0] * size[1], dtype=torch.int32)
        for number, slices, area in boxes:
            for z in slices:
                start = int((supervoxels[z] > 0).sum())
                supervoxels[z, start : start + area] = number
        return {
            "image": torch.randn(1, *size, depth, generator=generator),
            "supervoxels": supervoxels.view(depth, *size).permute(1, 2, 0)[None].clone(),
            "subject": subject,
        }

    return make


@pytest.fixture
def volumes(make_volume: Callable[..., Volume]) -> list[Volume]:
    """Three volumes whose supervoxels are told apart by their rejection at ``min_area=20``."""
    return [
        make_volume([(1, [0, 1, 2, 3], 30), (2, [1, 2], 40), (5, [4, 5], 25), (7, [0], 90)], subject="a"),
        make_volume([(3, [0, 2, 3], 50), (4, [1, 2, 3, 4], 21), (9, [0, 1, 2], 5)], depth=5, subject="b"),
        make_volume([(2, [0, 1], 60)], depth=2, subject="c"),
    ]
