"""Random gamma, affine and elastic changes of slices: values drawn once per slice, applied in batches on the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional as F

Floats = NDArray[np.float64]


class AugmentationParameters(NamedTuple):
    """What was drawn, for `G` intensity and `M` geometry changes.

    Attributes:
        intensity: `(G,)` exponents of gamma; `(G, n)` where a bundle changes more of the intensities.
        inverse_matrix: `(M, 3, 3)` from a pixel `(x, y, 1)` of the result to its place in the image.
        noise: `(M, 2, H, W)` uniform in [-1, 1), to become the elastic displacement along x and y; on the device.

    Of volumes: matrices `(M, 4, 4)` and noise `(M, 3, ...)`, see `VolumeAugmentation`.
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

    def sample(
        self,
        generator: Generator,
        noise_generator: Generator,
        size: tuple[int, ...],
        intensities: int = 1,
        geometries: int = 1,
    ) -> AugmentationParameters:
        """Draw parameters.

        Args:
            generator: CPU generator of the scalars.
            noise_generator: generator of the elastic noise, on the device where the parameters are applied.
            size: height and width of the slices in pixels.
            intensities: number `G` of intensity changes.
            geometries: number `M` of geometry changes.
        """
        gamma, drawn = self._draw(generator, intensities, geometries)
        numbers = drawn.numpy()
        matrix = affine_matrix(numbers[:, 0], numbers[:, 1:3], numbers[:, 3], numbers[:, 4], size)
        # Inverted here, on the host: on a GPU the inversion would wait for its error flag.
        inverse = torch.from_numpy(np.linalg.inv(matrix)).float()
        return AugmentationParameters(gamma, inverse, _uniform_noise((geometries, 2, *size), noise_generator))

    def apply(
        self,
        image: Tensor,
        mask: Tensor,
        parameters: AugmentationParameters,
        intensity_rows: Tensor | None = None,
        geometry_rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Change intensities, and geometry by affine and elastic maps together.

        Args:
            image: `(N, 1, H, W)`, normalised so that 0 is the mean.
            mask: `(N, 1, H, W)` of 0 and 1.
            parameters: drawn by `sample`, on the device of `image`.
            intensity_rows: `(G,)` slices whose intensity changes; None: all, G = N.
            geometry_rows: `(M,)` slices whose geometry changes; None: all, M = N.

        Returns:
            The changed image and mask; rounded, the mask keeps 0 and 1. That is also what the released ALPNet code's
            warp of a one-hot mask with its rounding and argmax comes to.
        """
        if intensity_rows is None:
            intensity_rows = torch.arange(len(image), device=image.device)
        if geometry_rows is None:
            geometry_rows = torch.arange(len(image), device=image.device)
        if self.intensity_first:
            image = self._change_rows(image, parameters.intensity, intensity_rows)
        if len(geometry_rows):
            both = torch.cat([image.index_select(0, geometry_rows), mask.index_select(0, geometry_rows)], 1)
            changed = self.change_geometry(both, parameters)
            image = image.index_copy(0, geometry_rows, changed[:, :1])
            mask = mask.index_copy(0, geometry_rows, changed[:, 1:].round())
        if not self.intensity_first:
            image = self._change_rows(image, parameters.intensity, intensity_rows)
        return image, mask

    def change_intensity(self, image: Tensor, strength: Tensor) -> Tensor:
        """Change the intensities of slices `(N, 1, H, W)` by their drawn exponents `(N,)`."""
        return gamma_transform(image, strength)

    def change_geometry(self, image: Tensor, parameters: AugmentationParameters) -> Tensor:
        """Warp slices `(N, C, H, W)` by their drawn matrix and noise."""
        displacement = elastic_displacement(
            parameters.noise, self.elastic_alpha, self.elastic_sigma, self.elastic_kernel
        )
        return warp(image, displacement, parameters.inverse_matrix)

    def _draw(self, generator: Generator, intensities: int, geometries: int) -> tuple[Tensor, Tensor]:
        """Draw exponents `(G,)` and the geometry's numbers `(M, n)` within their ranges."""
        gamma = self.gamma[0] + (self.gamma[1] - self.gamma[0]) * torch.rand(intensities, generator=generator)
        numbers = torch.rand(geometries, len(self.low), generator=generator, dtype=torch.float64)
        return gamma, self.low + (self.high - self.low) * numbers

    def _change_rows(self, image: Tensor, strength: Tensor, rows: Tensor) -> Tensor:
        if len(rows) == 0:
            return image
        return image.index_copy(0, rows, self.change_intensity(image.index_select(0, rows), strength))


def gamma_transform(image: Tensor, gamma: Tensor) -> Tensor:
    """Raise each image to a power of its own within its range (released ADNet and SSL-ALPNet code).

    With `r = max - min + 1e-5`: `r * ((x - min + 1e-5) / r) ** gamma + min`.

    Args:
        image: `(N, C, *S)`.
        gamma: `(N,)`.

    Returns:
        `(N, C, *S)`.
    """
    flat = image.flatten(1)
    low = flat.amin(1, keepdim=True)
    extent = flat.amax(1, keepdim=True) - low + 1e-5
    return (extent * ((flat - low + 1e-5) / extent) ** gamma.view(-1, 1) + low).view_as(image)


def affine_matrix(rotation: Floats, translation: Floats, shear: Floats, scale: Floats, size: tuple[int, ...]) -> Floats:
    """Matrices `scale @ shear @ translation @ rotation`, from places in the image to places in the result.

    As in the released ADNet and SSL-ALPNet code, rotation and scale keep the point `(W / 2, H / 2)` in place, while the
    shear keeps the corner `(0, 0)` and its matrix is `[[1, -sin], [0, cos]]`.

    Args:
        rotation: `(N,)` in degrees, positive from x to y.
        translation: `(N, 2)` along x and y in pixels.
        shear: `(N,)` in degrees.
        scale: `(N,)`.
        size: height and width in pixels.

    Returns:
        `(N, 3, 3)`, for column vectors `(x, y, 1)` in pixels; x runs along W, and `(0, 0)` is the first pixel's centre.
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
        noise: `(N, 2, H, W)` uniform in [-1, 1); H and W are larger than half of `kernel_size`.
        alpha: factor of the smoothed noise in pixels.
        sigma: width of the Gaussian in pixels.
        kernel_size: taps of the Gaussian, odd; their sum is 1.

    Returns:
        Displacement `(N, 2, H, W)` along x and y in pixels.
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
        planes: `(N, C, H, W)`, H and W larger than half of the taps.
        row_taps: for the neighbours along W, odd in number.
        column_taps: for the neighbours along H, as many.

    Returns:
        `(N, C, H, W)`.
    """
    padded = F.pad(planes, [len(row_taps) // 2] * 4, mode="reflect")
    rows = _shifted_sum(padded, row_taps, -1, planes.shape[-1])
    return _shifted_sum(rows, column_taps, -2, planes.shape[-2])


def warp(image: Tensor, displacement: Tensor, inverse_matrix: Tensor) -> Tensor:
    """Sample each slice at `inverse_matrix @ (pixel + displacement)`, bilinear, 0 outside of the image.

    The released code interpolates twice, affine first, then elastic with reflected borders. Here is one interpolation
    of the same places: it smooths less and takes half the time. Displaced pixels are kept inside the grid, which is
    what reflection comes to for displacements of a pixel.

    Args:
        image: `(N, C, H, W)`.
        displacement: `(N, 2, H, W)` along x and y in pixels.
        inverse_matrix: `(N, 3, 3)`, see `AugmentationParameters`.

    Returns:
        `(N, C, H, W)`.
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


def _uniform_noise(shape: Sequence[int], generator: Generator) -> Tensor:
    """Uniform numbers in [-1, 1), four from each random word: 16 bits do for what is then averaged over 441 pixels."""
    words = torch.empty(*shape[:-1], -(-shape[-1] // 4), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    return words.view(torch.int16)[..., : shape[-1]].float().mul_(2**-15)


def _shifted_sum(tensor: Tensor, weights: Sequence[float], axis: int, length: int) -> Tensor:
    """Correlation with `weights` along one axis, where the tensor is padded."""
    total = tensor.narrow(axis, 0, length) * weights[0]
    for shift, weight in enumerate(weights[1:], 1):
        total.add_(tensor.narrow(axis, shift, length), alpha=weight)
    return total
