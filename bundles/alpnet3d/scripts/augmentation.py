"""The changes of volumes that 3D ALPNet names, in millimetres, with TorchIO's published defaults (section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms.utils import create_rotate, create_scale
from numpy.typing import NDArray
from torch import Generator, Tensor

from common.episodes import VolumeAugmentation


class MillimetreAugmentation(VolumeAugmentation):
    """Random rotation, scale, elastic deformation and gamma of whole volumes.

    The paper names TorchIO's functions without values. Two things differ from them: one interpolation does affine and
    elastic changes, and gamma acts on the volume's range of values, since normalised values are negative too.

    Args:
        rotate: largest rotation about each axis in degrees.
        scale: smallest and largest scale along each axis; more than 1 enlarges.
        elastic: largest displacement of a control point along each axis in mm.
        control_points: of the cubic B-splines along each axis, the outer two on each side fixed; 5 at least.
        log_gamma: largest absolute logarithm of the exponent.
    """

    padding = "zeros"
    millimetres = True

    def __init__(
        self,
        rotate: float = 10.0,
        scale: Sequence[float] = (0.9, 1.1),
        elastic: float = 7.5,
        control_points: int = 7,
        log_gamma: float = 0.3,
    ) -> None:
        super().__init__(rotate, (0.0, 0.0, 0.0), 0.0, scale, (-log_gamma, log_gamma), intensity_first=False)
        self.elastic = elastic
        self.control_points = (control_points,) * 3

    def matrix(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Make of the drawn numbers the matrix from result to image: the image is rotated, then scaled."""
        forward = create_scale(3, values[9:]) @ create_rotate(3, values[:3])
        inverse: NDArray[np.float64] = np.linalg.inv(forward)
        return inverse

    def displacement(self, noise: Tensor, size: Sequence[int]) -> Tensor:
        """Interpolate the control points by cubic B-splines.

        Args:
            noise: ``(M, 3, n, n, n)`` in [-1, 1), of ``n`` control points along each axis.
            size: of the result in voxels.

        Returns:
            Displacement ``(M, 3, *size)`` in mm.
        """
        inner = slice(2, -2)
        weights = [spline_weights(length, noise.shape[-1])[:, inner].to(noise) for length in size]
        moved = self.elastic * noise[:, :, inner, inner, inner]
        return torch.einsum("mdabc,xa,yb,zc->mdxyz", moved, *weights)

    def change_geometry(self, image: Tensor, *arguments: Tensor, **others: Tensor) -> Tensor:
        """Warp volumes as ``VolumeAugmentation`` does; outside of each lies its smallest value."""
        low = image.amin((2, 3, 4), keepdim=True)
        return super().change_geometry(image - low, *arguments, **others) + low

    def _draw(self, generator: Generator, intensities: int, geometries: int) -> tuple[Tensor, Tensor]:
        log_gamma, numbers = super()._draw(generator, intensities, geometries)
        return log_gamma.exp(), numbers


def spline_weights(length: int, control_points: int) -> Tensor:
    """Weigh uniform control points at each voxel, by cubic B-splines.

    Args:
        length: of the axis in voxels.
        control_points: ``n``; the second and the last but one lie on the outer edges of the axis.

    Returns:
        ``(length, n)``, rows of sum 1.
    """
    place = (torch.arange(length) + 0.5) / length * (control_points - 3)
    distance = (place[:, None] - torch.arange(-1, control_points - 1)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, near, far)
