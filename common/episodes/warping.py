"""Affine and elastic maps of slices, in batches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Floats = NDArray[np.float64]


def affine_matrix(rotation: Floats, translation: Floats, shear: Floats, scale: Floats, size: tuple[int, ...]) -> Floats:
    """Matrices ``scale @ shear @ translation @ rotation``, from places in the image to places in the result.

    As in the released ADNet and SSL-ALPNet code, rotation and scale keep the point ``(W / 2, H / 2)`` in place, while
    the shear keeps the corner ``(0, 0)`` and its matrix is ``[[1, -sin], [0, cos]]``.

    Args:
        rotation: ``(N,)`` in degrees, positive from x to y.
        translation: ``(N, 2)`` along x and y in pixels.
        shear: ``(N,)`` in degrees.
        scale: ``(N,)``.
        size: height and width in pixels.

    Returns:
        ``(N, 3, 3)``, for column vectors ``(x, y, 1)`` in pixels; x runs along W, and ``(0, 0)`` is the first pixel's
        centre.
    """
    centre_x, centre_y = size[1] / 2, size[0] / 2
    one, zero = np.ones_like(scale), np.zeros_like(scale)
    cosine, sine = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    rotate_x = centre_x - cosine * centre_x + sine * centre_y
    rotate_y = centre_y - sine * centre_x - cosine * centre_y
    slope = np.deg2rad(shear)
    scaling = [scale, zero, (1 - scale) * centre_x, zero, scale, (1 - scale) * centre_y, zero, zero, one]
    shearing = [one, -np.sin(slope), zero, zero, np.cos(slope), zero, zero, zero, one]
    translating = [one, zero, translation[:, 0], zero, one, translation[:, 1], zero, zero, one]
    rotating = [cosine, -sine, rotate_x, sine, cosine, rotate_y, zero, zero, one]
    first, second, third, fourth = (
        np.array([scaling, shearing, translating, rotating]).reshape(4, 3, 3, -1).transpose(0, 3, 1, 2)
    )
    product: Floats = first @ second @ third @ fourth
    return product


def elastic_displacement(noise: Tensor, alpha: float = 10.0, sigma: float = 5.0, kernel_size: int = 21) -> Tensor:
    """Smooth noise into a displacement (released ADNet and SSL-ALPNet code); about 0.36 pixels RMS per axis by default.

    Args:
        noise: ``(N, 2, H, W)`` uniform in [-1, 1); H and W are larger than half of ``kernel_size``.
        alpha: factor of the smoothed noise in pixels.
        sigma: width of the Gaussian in pixels.
        kernel_size: taps of the Gaussian, odd; their sum is 1.

    Returns:
        Displacement ``(N, 2, H, W)`` along x and y in pixels.
    """
    radius = kernel_size // 2
    taps = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(-radius, radius + 1)]
    taps = [tap / sum(taps) for tap in taps]
    scaled = [alpha * tap for tap in taps]
    return smooth_by_shifts(noise, taps, scaled)


def smooth_by_shifts(planes: Tensor, row_taps: Sequence[float], column_taps: Sequence[float]) -> Tensor:
    """Correlate along rows, then along columns, with borders reflected.

    Shifted sums instead of a convolution give the same bits for any batch size.

    Args:
        planes: ``(N, C, H, W)``, H and W larger than half of the taps.
        row_taps: for the neighbours along W, odd in number.
        column_taps: for the neighbours along H, as many.

    Returns:
        ``(N, C, H, W)``.
    """
    padded = F.pad(planes, [len(row_taps) // 2] * 4, mode="reflect")
    rows = _shifted_sum(padded, row_taps, -1, planes.shape[-1])
    return _shifted_sum(rows, column_taps, -2, planes.shape[-2])


def warp(image: Tensor, displacement: Tensor, inverse_matrix: Tensor) -> Tensor:
    """Sample each slice at ``inverse_matrix @ (pixel + displacement)``, bilinear, 0 outside of the image.

    The released code interpolates twice, affine first, then elastic with reflected borders. Here is one interpolation
    of the same places: it smooths less and takes half the time. Displaced pixels are kept inside the grid, which is
    what reflection comes to for displacements of a pixel.

    Args:
        image: ``(N, C, H, W)``.
        displacement: ``(N, 2, H, W)`` along x and y in pixels.
        inverse_matrix: ``(N, 3, 3)``, see ``AugmentationParameters``.

    Returns:
        ``(N, C, H, W)``.
    """
    height, width = image.shape[-2:]
    x = (displacement[:, 0] + torch.arange(width, device=image.device)).clamp_(0, width - 1)
    y = (displacement[:, 1] + torch.arange(height, device=image.device)[:, None]).clamp_(0, height - 1)
    places = []
    for row, length in enumerate((width, height)):
        # grid_sample counts from -1 to 1 between the outer edges of the first and the last pixel.
        along_x, along_y, offset = (inverse_matrix[:, row, :, None, None] * (2 / length)).unbind(1)
        places.append(torch.addcmul(offset + (1 / length - 1), along_x, x).addcmul_(along_y, y))
    grid = torch.stack(places, 1).permute(0, 2, 3, 1)
    return F.grid_sample(image, grid, padding_mode="zeros", align_corners=False)


def _shifted_sum(tensor: Tensor, weights: Sequence[float], axis: int, length: int) -> Tensor:
    """Correlation with ``weights`` along one axis, where the tensor is padded."""
    total = tensor.narrow(axis, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], 1):
        total.add_(tensor.narrow(axis, shift, length), alpha=weight)
    return total
