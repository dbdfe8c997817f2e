"""Synthetic scans for timing: their content does not matter, their sizes do."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from torch import Tensor
from torch.nn import functional as F

from tests.benchmarks.measure import DEVICE


def query_with_support(
    size: tuple[int, int, int], organs: int, shots: int = 1, support_depth: int | None = None
) -> MetaTensor:
    """A smooth random query ``(1, 1, *size)`` whose meta holds one support volume; every organ on slices of its own."""
    depth = support_depth or size[2]
    query, support = smooth(size, seed=0), smooth((*size[:2], depth), seed=1)
    label = torch.zeros(1, *size[:2], depth, device=DEVICE)
    drawn = depth // organs
    if drawn < shots:
        raise ValueError(f"{depth} support slices are too few for {organs} organs on {shots} slices each")
    for organ in range(organs):
        x, y = size[0] * (organ % 4) // 4, size[1] * (organ // 4 % 4) // 4
        label[0, x : x + size[0] // 4, y : y + size[1] // 4, organ * drawn : (organ + 1) * drawn] = organ + 1
    meta = {"support_image": [support[0]], "support_label": [label], "support_organs": torch.arange(1, organs + 1)}
    return MetaTensor(query, meta=meta)


def smooth(size: tuple[int, ...], seed: int) -> Tensor:
    """Random volume ``(1, 1, *size)`` of mean 0 and deviation 1 whose neighbours are alike."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(1, 1, *(max(2, length // 8) for length in size), generator=generator)
    volume = F.interpolate(coarse, size=list(size), mode="trilinear")
    volume = volume + 0.1 * torch.randn(1, 1, *size, generator=generator)
    return ((volume - volume.mean()) / volume.std()).to(DEVICE)
