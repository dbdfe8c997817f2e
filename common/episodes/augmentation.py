"""Random gamma, affine and elastic changes of slices: values drawn once per slice, applied in batches on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from .pack import Pack
from .warping import Floats, affine_matrix, elastic_displacement, warp


class AugmentationParameters(NamedTuple):
    """What was drawn, for ``G`` intensity and ``M`` geometry changes.

    Attributes:
        intensity: ``(G,)`` exponents of gamma; ``(G, n)`` where a bundle changes more of the intensities.
        inverse_matrix: ``(M, 3, 3)`` from a pixel ``(x, y, 1)`` of the result to its place in the image.
        noise: ``(M, 2, H, W)`` uniform in [-1, 1), to become the elastic displacement along x and y; on the device.

    Of volumes: matrices ``(M, 4, 4)`` and noise ``(M, 3, ...)``, see ``VolumeAugmentation``.
    """

    intensity: Tensor
    inverse_matrix: Tensor
    noise: Tensor

    @classmethod
    def cat(cls, parameters: Sequence[AugmentationParameters]) -> AugmentationParameters:
        """Join the parameters of several episodes into those of a batch."""
        return cls(*(torch.cat(tensors) for tensors in zip(*parameters, strict=True)))


class EpisodeAugmentation:
    """Random changes of slices with the ranges of the released ADNet and SSL-ALPNet code (the papers give none).

    Args:
        rotate: largest rotation about the centre in degrees.
        translate: largest translation along x and along y in pixels.
        shear: largest shear in degrees.
        scale: smallest and largest scale; more than 1 enlarges.
        elastic_alpha: factor of the smoothed noise; 0: no elastic change.
        elastic_sigma: width of the smoothing in pixels.
        elastic_kernel: taps of the smoothing, odd.
        gamma: smallest and largest exponent.
        intensity_first: intensity before geometry (released ADNet code, SSL-ALPNet paper) or after (released ALPNet
            code).
    """

    def __init__(
        self,
        rotate: float = 5.0,
        translate: float = 5.0,
        shear: float = 5.0,
        scale: Sequence[float] = (0.9, 1.2),
        elastic_alpha: float = 10.0,
        elastic_sigma: float = 5.0,
        elastic_kernel: int = 21,
        gamma: Sequence[float] = (0.5, 1.5),
        intensity_first: bool = True,
    ) -> None:
        ranges = [(-rotate, rotate), (-translate, translate), (-translate, translate), (-shear, shear), tuple(scale)]
        self.gamma = (float(gamma[0]), float(gamma[1]))
        self.low = torch.tensor([low for low, _ in ranges], dtype=torch.float64)
        self.high = torch.tensor([high for _, high in ranges], dtype=torch.float64)
        self.elastic_alpha = elastic_alpha
        self.elastic_sigma = elastic_sigma
        self.elastic_kernel = elastic_kernel
        self.intensity_first = intensity_first

    def check(self, pack: Pack) -> None:
        """Refuse volumes that cannot be changed so; slices all can."""

    def sample(
        self,
        generator: Generator,
        noise_generator: Generator,
        size: tuple[int, int],
        intensities: int = 1,
        geometries: int = 1,
    ) -> AugmentationParameters:
        """Draw parameters.

        Args:
            generator: CPU generator of the scalars.
            noise_generator: generator of the elastic noise, on the device where the parameters are applied.
            size: height and width of the slices in pixels.
            intensities: number ``G`` of intensity changes.
            geometries: number ``M`` of geometry changes.
        """
        intensity, numbers = self._draw(generator, intensities, geometries)
        inverse = self._inverse_matrices(numbers.numpy(), size)
        return AugmentationParameters(intensity, inverse, self._noise(geometries, size, noise_generator))

    def apply(
        self,
        image: Tensor,
        mask: Tensor,
        parameters: AugmentationParameters,
        intensity_rows: Tensor | None = None,
        geometry_rows: Tensor | None = None,
        **place: Any,
    ) -> tuple[Tensor, Tensor]:
        """Change intensities, and geometry by affine and elastic maps together.

        Args:
            image: ``(N, 1, *S)``, normalised so that 0 is the mean.
            mask: ``(N, 1, *S)`` of 0 and 1.
            parameters: drawn by ``sample``, on the device of ``image``.
            intensity_rows: ``(G,)`` images whose intensity changes; None: all, G = N.
            geometry_rows: ``(M,)`` images whose geometry changes; None: all, M = N.
            place: of windows in volumes, see ``VolumeAugmentation.change_geometry``.

        Returns:
            The changed image and mask; rounded, the mask keeps 0 and 1. That is also what the released ALPNet code's
            warp of a one-hot mask with its rounding and argmax comes to.
        """
        rows = torch.arange(len(image), device=image.device)
        intensity_rows = rows if intensity_rows is None else intensity_rows
        geometry_rows = rows if geometry_rows is None else geometry_rows
        if self.intensity_first:
            image = self._change_rows(image, parameters.intensity, intensity_rows)
        still, still_mask = self._still(image, **place), self._still(mask, **place)
        if len(geometry_rows):
            both = torch.cat([image.index_select(0, geometry_rows), mask.index_select(0, geometry_rows)], 1)
            own = {
                name: value.index_select(0, geometry_rows) if isinstance(value, Tensor) else value
                for name, value in place.items()
            }
            changed = self.change_geometry(both, parameters, **own)
            still = still.index_copy(0, geometry_rows, changed[:, :1])
            still_mask = still_mask.index_copy(0, geometry_rows, changed[:, 1:].round())
        if not self.intensity_first:
            still = self._change_rows(still, parameters.intensity, intensity_rows)
        return still, still_mask

    def change_intensity(self, image: Tensor, strength: Tensor) -> Tensor:
        """Change the intensities of images ``(N, 1, *S)`` by their drawn exponents ``(N,)``."""
        return gamma_transform(image, strength)

    def change_geometry(self, image: Tensor, parameters: AugmentationParameters) -> Tensor:
        """Warp slices ``(N, C, H, W)`` by their drawn matrix and noise."""
        displacement = elastic_displacement(
            parameters.noise, self.elastic_alpha, self.elastic_sigma, self.elastic_kernel
        )
        return warp(image, displacement, parameters.inverse_matrix)

    def _draw(self, generator: Generator, intensities: int, geometries: int) -> tuple[Tensor, Tensor]:
        """Draw exponents ``(G,)`` and the geometry's numbers ``(M, n)`` within their ranges."""
        gamma = self.gamma[0] + (self.gamma[1] - self.gamma[0]) * torch.rand(intensities, generator=generator)
        numbers = torch.rand(geometries, len(self.low), generator=generator, dtype=torch.float64)
        return gamma, self.low + (self.high - self.low) * numbers

    def _inverse_matrices(self, numbers: Floats, size: tuple[int, int]) -> Tensor:
        """Make matrices from result to image of the geometry's numbers ``(M, n)``."""
        matrix = affine_matrix(numbers[:, 0], numbers[:, 1:3], numbers[:, 3], numbers[:, 4], size)
        # On the host: on a GPU the inversion would wait for its error flag.
        return torch.from_numpy(np.linalg.inv(matrix)).float()

    def _noise(self, geometries: int, size: tuple[int, int], generator: Generator) -> Tensor:
        """Draw the noise of the elastic changes, in [-1, 1)."""
        return _uniform_noise((geometries, 2, *size), generator)

    def _still(self, image: Tensor, **place: Any) -> Tensor:
        """Give what is seen of images that do not move: of slices, all."""
        return image

    def _change_rows(self, image: Tensor, strength: Tensor, rows: Tensor) -> Tensor:
        if len(rows) == 0:
            return image
        return image.index_copy(0, rows, self.change_intensity(image.index_select(0, rows), strength))


def gamma_transform(image: Tensor, gamma: Tensor) -> Tensor:
    """Raise each image to a power of its own within its range (released ADNet and SSL-ALPNet code).

    With ``r = max - min + 1e-5``: ``r * ((x - min + 1e-5) / r) ** gamma + min``.

    Args:
        image: ``(N, C, *S)``.
        gamma: ``(N,)``.

    Returns:
        ``(N, C, *S)``.
    """
    flat = image.flatten(1)
    low = flat.amin(1, keepdim=True)
    extent = flat.amax(1, keepdim=True) - low + 1e-5
    return (extent * ((flat - low + 1e-5) / extent) ** gamma.view(-1, 1) + low).view_as(image)


def _uniform_noise(shape: Sequence[int], generator: Generator) -> Tensor:
    """Uniform numbers in [-1, 1), four from each random word: 16 bits do for what is then averaged over 441 pixels."""
    words = torch.empty(*shape[:-1], -(-shape[-1] // 4), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.int16)[..., : shape[-1]].float().mul_(2**-15)
