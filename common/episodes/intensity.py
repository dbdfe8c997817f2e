"""Random intensity curves and bias fields of slices, so that support and query differ as two scans do."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor

from .augmentation import EpisodeAugmentation, gamma_transform

_WAVES = 3
_FIELD = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))  # half waves along the rows and the columns


class IntensityAugmentation(EpisodeAugmentation):
    """The published geometry changes, and intensities that change more than by an exponent.

    Args:
        curve: largest amplitude of the first of three sines that bend the curve, as a part of the slice's range; the
            j-th has a j-th of it. Beyond 1 / (3 pi) a curve need not be monotone.
        bias: largest coefficient of each of five cosines that make the logarithm of the bias field.
        options: those of ``EpisodeAugmentation``.
    """

    def __init__(self, curve: float = 0.12, bias: float = 0.15, **options: Any) -> None:
        super().__init__(**options)
        self.curve = curve
        self.bias = bias

    def change_intensity(self, image: Tensor, strength: Tensor) -> Tensor:
        """Change the intensities of slices ``(N, 1, H, W)`` by drawn numbers ``(N, 9)``: exponent, curve, bias."""
        gamma, curve, bias = strength.split([1, _WAVES, len(_FIELD)], dim=1)
        changed = bend_curve(gamma_transform(image, gamma[:, 0]), self.curve * curve)
        return multiply_field(changed, self.bias * bias)

    def _draw(self, generator: Generator, intensities: int, geometries: int) -> tuple[Tensor, Tensor]:
        gamma, numbers = super()._draw(generator, intensities, geometries)
        others = 2 * torch.rand(intensities, _WAVES + len(_FIELD), generator=generator) - 1
        return torch.cat([gamma[:, None], others], 1), numbers


def bend_curve(image: Tensor, amplitude: Tensor) -> Tensor:
    """Map intensities by ``u + sum_j a_j / j sin(j pi u)``, with u their place in the slice's range; its ends stay.

    Args:
        image: ``(N, C, *S)``.
        amplitude: ``(N, J)`` of the sines, as a part of the range.

    Returns:
        ``(N, C, *S)``.
    """
    flat = image.flatten(1)
    low = flat.amin(1, keepdim=True)
    extent = flat.amax(1, keepdim=True) - low + 1e-5
    place = (flat - low) / extent
    bent = place.clone()
    for number, part in enumerate(amplitude.unbind(1), 1):
        bent += part[:, None] / number * torch.sin(number * math.pi * place)
    return (extent * bent + low).view_as(image)


def multiply_field(image: Tensor, coefficients: Tensor) -> Tensor:
    """Multiply what lies above a slice's minimum with a smooth field.

    Args:
        image: ``(N, C, H, W)``.
        coefficients: ``(N, 5)`` of cosines in the field's logarithm.

    Returns:
        ``(N, C, H, W)``.
    """
    height, width = image.shape[-2:]
    y = torch.linspace(0, math.pi, height, device=image.device)[:, None]
    x = torch.linspace(0, math.pi, width, device=image.device)
    waves = torch.stack([torch.cos(rows * y) * torch.cos(columns * x) for rows, columns in _FIELD])
    field = torch.exp(torch.einsum("nk,khw->nhw", coefficients, waves))[:, None]
    low = image.amin((1, 2, 3), keepdim=True)
    return (image - low) * field + low
