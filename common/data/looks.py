"""What prepared scans look like, intensities, edges and size of the body, so that one unlike all others can be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray
from torch import Tensor

_INTENSITIES = np.linspace(0.02, 0.98, 17)
_EDGES = (0.25, 0.5, 0.75, 0.9, 0.98)
_VALUES = 2**18  # of a volume, about, that are looked at


def known_looks(images: Iterable[MetaTensor]) -> dict[str, Any]:
    """Describe scans, and how far apart they are.

    Args:
        images: prepared ``(1, X, Y, Z)``, two or more.

    Returns:
        ``looks``, a row of 22 quantiles for each scan; ``far``, the distance to the nearest other that one in
        twenty exceeds; ``widths``, the smallest and the largest body in mm, see ``body_width``.
    """
    rows, widths = zip(*((describe(image), body_width(image)) for image in images), strict=True)
    looks = np.stack(rows).round(4)
    alone = [_distance(look, np.delete(looks, number, 0)) for number, look in enumerate(looks)]
    return {
        "looks": looks.tolist(),
        "far": round(float(np.quantile(alone, 0.95)), 4),
        "widths": [round(float(np.min(widths)), 1), round(float(np.max(widths)), 1)],
    }


def unlikeness(image: Tensor, known: Mapping[str, Any]) -> float:
    """Tell how unlike a prepared scan ``(1, X, Y, Z)`` is: above 1 it is farther than most are apart."""
    return _distance(describe(image), np.asarray(known["looks"])) / float(known["far"])


def body_width(image: MetaTensor) -> float:
    """Give the side of the square in mm that has the area of the body in its largest slice.

    Args:
        image: prepared ``(1, X, Y, Z)``; air is the lowest value.
    """
    pixels = int(body_mask(image.as_tensor()[0]).sum((0, 1)).max())
    return float(np.sqrt(pixels * float(image.pixdim[0] * image.pixdim[1])))


def describe(image: Tensor) -> NDArray[np.float64]:
    """Describe a scan by quantiles of its intensities and of its edges in plane, both of the body.

    Args:
        image: prepared ``(1, X, Y, Z)``; air is the lowest value.

    Returns:
        ``(22,)``: 17 quantiles of intensity, 5 of the difference between neighbours, in the image's unit.
    """
    volume = torch.as_tensor(image)[0].float()
    corner = volume[:-1, :-1]
    edges = (volume[1:, :-1] - corner).abs() + (volume[:-1, 1:] - corner).abs()
    body = body_mask(corner)
    quantiles = []
    for values, levels in ((corner[body], _INTENSITIES), (edges[body], _EDGES)):
        quantiles.append(np.quantile(some_values(values).numpy(), levels))
    return np.concatenate(quantiles)


def some_values(volume: Tensor) -> Tensor:
    """Take about a quarter of a million voxels, evenly spread, of a volume of any shape, as float32 on the host."""
    return volume.flatten()[:: max(1, volume.numel() // _VALUES)].float().cpu()


def body_mask(volume: Tensor) -> Tensor:
    """Tell what is not air, of a volume of any shape: above a twentieth of the range; of a constant one, everything."""
    low, high = volume.aminmax()
    return volume > low + 0.05 * (high - low) if high > low else torch.ones_like(volume, dtype=torch.bool)


def _distance(look: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """Mean absolute difference between a row ``(22,)`` and the nearest of others ``(N, 22)``."""
    return float(np.abs(known - look).mean(1).min())
