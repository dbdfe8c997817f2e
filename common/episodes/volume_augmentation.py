"""Random gamma and affine changes of volumes, and what elastic ones of a bundle stand on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms.utils import create_rotate, create_scale, create_shear, create_translate
from torch import Generator, Tensor
from torch.nn import functional as F

from ..errors import InputError
from .augmentation import AugmentationParameters, EpisodeAugmentation
from .pack import Pack
from .warping import Floats


class VolumeAugmentation(EpisodeAugmentation):
    """Random affine changes of volumes about their centre, in voxels, with the ranges of the released ADNet code.

    As MONAI's ``Rand3DElastic``, which that code takes without its elastic part, rotation, shear, translation and scale
    move the grid on which the volume is sampled. A subclass may count in millimetres, and deform.

    A window moves about its own centre and is filled from the volume around it: ten slices alone would lose almost
    half of their voxels. The released ADNet code moves whole volumes about theirs, then cuts. Of the parameters drawn,
    the matrices ``(M, 4, 4)`` lead from a place in the result to its place in the image, both counted from the centre,
    and the noise ``(M, 3, *control_points)`` is uniform.

    Args:
        rotate: largest rotation about each axis in degrees.
        translate: largest translation along each axis in voxels.
        shear: largest shear of x along y, of x along z and of y along x in degrees; none moves slices.
        scale: smallest and largest scale along each axis; more than 1 shrinks.
        gamma: smallest and largest exponent.
        intensity_first: intensity before geometry.
    """

    padding = "reflection"  # what lies outside of a volume, as ``torch.nn.functional.grid_sample`` names it
    millimetres = False  # what places are counted in while they move; else voxels
    control_points: tuple[int, int, int] = (0, 0, 0)  # along each axis, whose random numbers ``displacement`` takes

    def __init__(
        self,
        rotate: float = 5.0,
        translate: Sequence[float] = (5.0, 5.0, 1.0),
        shear: float = 5.0,
        scale: Sequence[float] = (0.9, 1.2),
        gamma: Sequence[float] = (0.5, 1.5),
        intensity_first: bool = True,
    ) -> None:
        super().__init__(gamma=gamma, intensity_first=intensity_first)
        shears = np.tan(np.deg2rad(shear))
        spans = [*[np.deg2rad(rotate)] * 3, *[shears] * 3, *translate]
        self.low = torch.tensor([*[-span for span in spans], *[scale[0]] * 3], dtype=torch.float64)
        self.high = torch.tensor([*spans, *[scale[1]] * 3], dtype=torch.float64)

    def check(self, pack: Pack) -> None:
        """Refuse volumes without a voxel size where places are counted in millimetres.

        Raises:
            InputError: names the first of them.
        """
        for subject, spacing in zip(pack.subjects, pack.spacings, strict=True):
            if spacing is None and self.millimetres:
                raise InputError(f"{subject}: has no affine, its augmentation is in mm; give the item its 'affine'")

    def matrix(self, values: Floats) -> Floats:
        """Make of 12 drawn numbers, 3 angles, 3 shears, 3 shifts and 3 scales, the matrix from result to image."""
        rotation, shear, translation, scale = np.split(values, 4)
        parts = [
            create_rotate(3, rotation),
            create_shear(3, shear),
            create_translate(3, translation),
            create_scale(3, scale),
        ]
        product: Floats = np.linalg.multi_dot(parts)
        return product

    def displacement(self, noise: Tensor, size: Sequence[int]) -> Tensor | None:
        """Give the displacement ``(M, 3, *size)`` of each place of the result before the matrix moves it, or None."""
        return None

    def change_geometry(
        self,
        image: Tensor,
        parameters: AugmentationParameters,
        corner: Tensor | None = None,
        size: Sequence[int] | None = None,
        spacing: Tensor | None = None,
    ) -> Tensor:
        """Warp windows of volumes, affine and elastic in one trilinear interpolation.

        Args:
            image: ``(M, C, X, Y, Z)``.
            parameters: their drawn matrices and noise.
            corner: ``(M, 3)`` first voxels of the windows; None: whole volumes.
            size: of the windows in voxels; None: whole volumes.
            spacing: ``(M, 3)`` size of the volumes' voxels in mm; None: 1.

        Returns:
            ``(M, C, *size)``.
        """
        if corner is None or size is None:
            corner, size = image.new_zeros(len(image), 3), image.shape[2:]
        unit = image.new_ones(len(image), 3) if spacing is None or not self.millimetres else spacing.to(image.dtype)
        axes = [torch.arange(n, device=image.device, dtype=torch.float32) - (n - 1) / 2 for n in size]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None] * unit[:, :, None, None, None]
        displacement = self.displacement(parameters.noise, size)
        if displacement is not None:
            place = place + displacement
        matrix = parameters.inverse_matrix
        source = (torch.matmul(matrix[:, :3, :3], place.flatten(2)) + matrix[:, :3, 3:]) / unit[:, :, None]
        # grid_sample counts from -1 to 1 between the outer edges of the volume, and names the last axis first.
        grid = [
            (source[:, axis] + corner[:, axis, None] + (size[axis] - length) / 2) * (2 / length)
            for axis, length in enumerate(image.shape[2:])
        ]
        return F.grid_sample(
            image, torch.stack(grid[::-1], -1).unflatten(1, list(size)), padding_mode=self.padding, align_corners=False
        )

    def _inverse_matrices(self, numbers: Floats, size: tuple[int, int]) -> Tensor:
        return torch.from_numpy(np.array([self.matrix(values) for values in numbers]).reshape(-1, 4, 4)).float()

    def _noise(self, geometries: int, size: tuple[int, int], generator: Generator) -> Tensor:
        return 2 * torch.rand((geometries, 3, *self.control_points), generator=generator, device=generator.device) - 1

    def _still(self, image: Tensor, **place: Any) -> Tensor:
        return cut(image, place["corner"], place["size"]) if "corner" in place else image


def cut(volumes: Tensor, corner: Tensor, size: Sequence[int]) -> Tensor:
    """Cut a window out of each volume.

    Args:
        volumes: ``(N, 1, X, Y, Z)``.
        corner: ``(N, 3)`` first voxels of the windows, whole numbers.
        size: of the windows in voxels.

    Returns:
        ``(N, 1, *size)``.
    """
    if tuple(size) == volumes.shape[2:]:
        return volumes
    x, y, z = (corner[:, axis, None] + torch.arange(n, device=corner.device) for axis, n in enumerate(size))
    rows = torch.arange(len(volumes), device=corner.device)[:, None, None, None]
    return volumes[rows, 0, x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]].unsqueeze(1)
