"""Random gamma, affine and elastic changes of volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.transforms.utils import create_rotate, create_scale, create_shear, create_translate
from torch import Generator, Tensor
from torch.nn import functional as F

from .augmentation import AugmentationParameters, EpisodeAugmentation


class VolumeAugmentation(EpisodeAugmentation):
    """Random changes of volumes about their centre, in voxels; the ranges are those of the 2D methods.

    Args:
        rotate: largest rotation about each axis in degrees.
        translate: largest translation along each axis in voxels.
        shear: largest shear of x along y, of x along z and of y along x in degrees; none moves slices.
        scale: smallest and largest scale; more than 1 enlarges.
        elastic: largest displacement of the control points along each axis in voxels; 0: none (ADNet in 3D). 3D ALPNet
            names an elastic change without values.
        control_points: of the elastic change, along each axis.
        gamma: smallest and largest exponent.
        gamma_first: intensity before geometry.
    """

    def __init__(
        self,
        rotate: float = 5.0,
        translate: Sequence[float] = (5.0, 5.0, 1.0),
        shear: float = 5.0,
        scale: Sequence[float] = (0.9, 1.2),
        elastic: Sequence[float] | float = (2.0, 2.0, 0.5),
        control_points: Sequence[int] = (7, 7, 3),
        gamma: Sequence[float] = (0.5, 1.5),
        gamma_first: bool = True,
    ) -> None:
        super().__init__(gamma=gamma, gamma_first=gamma_first)
        shears = np.tan(np.deg2rad(shear))
        spans = [*[np.deg2rad(rotate)] * 3, *translate, *[shears] * 3]
        self.low = torch.tensor([*[-span for span in spans], scale[0]], dtype=torch.float64)
        self.high = torch.tensor([*spans, scale[1]], dtype=torch.float64)
        self.elastic = (float(elastic),) * 3 if isinstance(elastic, (int, float)) else tuple(elastic)
        self.control_points = tuple(control_points)

    def sample(
        self,
        generator: Generator,
        noise_generator: Generator,
        size: tuple[int, ...],
        gammas: int = 1,
        geometries: int = 1,
    ) -> AugmentationParameters:
        """Draw parameters.

        Args:
            generator: CPU generator of the scalars.
            noise_generator: generator of the control points, on the device where the parameters are applied.
            size: of the volumes in voxels.
            gammas: number `G` of intensity changes.
            geometries: number `M` of geometry changes.

        Returns:
            Parameters whose matrices `(M, 4, 4)` lead from a voxel of the result to its place in the image, both
            counted from the centre, and whose noise `(M, 3, *control_points)` is uniform in [-1, 1).
        """
        gamma, drawn = self._draw(generator, gammas, geometries)
        matrices = np.array([np.linalg.inv(_matrix(values)) for values in drawn.numpy()]).reshape(-1, 4, 4)
        noise = torch.rand(
            (geometries, 3, *self.control_points), generator=noise_generator, device=noise_generator.device
        )
        return AugmentationParameters(gamma, torch.from_numpy(matrices).float(), 2 * noise - 1)

    def apply(
        self,
        image: Tensor,
        mask: Tensor,
        parameters: AugmentationParameters,
        gamma_rows: Tensor | None = None,
        geometry_rows: Tensor | None = None,
        corner: Tensor | None = None,
        size: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Change intensities of volumes, and geometry in windows of them, see `EpisodeAugmentation.apply`.

        A window moves about its own centre and is filled from the volume around it: ten slices alone would lose almost
        half of their voxels. The released ADNet code moves whole volumes about theirs, then cuts.

        Args:
            image: `(N, 1, X, Y, Z)`, normalised so that 0 is the mean.
            mask: `(N, 1, X, Y, Z)` of 0 and 1.
            parameters: drawn by `sample`, on the device of `image`.
            gamma_rows: `(G,)` volumes whose intensity changes; None: all, G = N.
            geometry_rows: `(M,)` volumes whose geometry changes; None: all, M = N.
            corner: `(N, 3)` first voxels of the windows; None: whole volumes.
            size: of the windows in voxels; None: whole volumes.

        Returns:
            The windows of the changed image and mask, `(N, 1, *size)`.
        """
        rows = torch.arange(len(image), device=image.device)
        gamma_rows = rows if gamma_rows is None else gamma_rows
        geometry_rows = rows if geometry_rows is None else geometry_rows
        if corner is None or size is None:
            corner, size = torch.zeros(len(image), 3, device=image.device, dtype=torch.int64), image.shape[2:]
        if self.gamma_first:
            image = self._change_rows(image, parameters.gamma, gamma_rows)
        still, still_mask = cut(image, corner, size), cut(mask, corner, size)
        if len(geometry_rows):
            both = torch.cat([image.index_select(0, geometry_rows), mask.index_select(0, geometry_rows)], 1)
            changed = self.change_geometry(both, parameters, corner.index_select(0, geometry_rows), size)
            still = still.index_copy(0, geometry_rows, changed[:, :1])
            still_mask = still_mask.index_copy(0, geometry_rows, changed[:, 1:].round())
        if not self.gamma_first:
            still = self._change_rows(still, parameters.gamma, gamma_rows)
        return still, still_mask

    def change_geometry(
        self,
        image: Tensor,
        parameters: AugmentationParameters,
        corner: Tensor | None = None,
        size: Sequence[int] | None = None,
    ) -> Tensor:
        """Warp windows of volumes: affine and elastic in one trilinear interpolation, 0 outside of the volume.

        Args:
            image: `(M, C, X, Y, Z)`.
            parameters: their drawn matrices and noise.
            corner: `(M, 3)` first voxels of the windows; None: whole volumes.
            size: of the windows in voxels; None: whole volumes.

        Returns:
            `(M, C, *size)`.
        """
        if corner is None or size is None:
            corner, size = image.new_zeros(len(image), 3), image.shape[2:]
        axes = [torch.arange(n, device=image.device, dtype=torch.float32) - (n - 1) / 2 for n in size]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
        if any(self.elastic):
            points = torch.stack(
                [one * most for one, most in zip(parameters.noise.unbind(1), self.elastic, strict=True)], 1
            )
            place = place + F.interpolate(points, size=list(size), mode="trilinear", align_corners=True)
        matrix = parameters.inverse_matrix
        source = torch.matmul(matrix[:, :3, :3], place.flatten(2)) + matrix[:, :3, 3:]
        # grid_sample counts from -1 to 1 between the outer edges of the volume, and names the last axis first.
        grid = [
            (source[:, axis] + corner[:, axis, None] + (size[axis] - length) / 2) * (2 / length)
            for axis, length in enumerate(image.shape[2:])
        ]
        return F.grid_sample(
            image, torch.stack(grid[::-1], -1).unflatten(1, list(size)), padding_mode="zeros", align_corners=False
        )


def cut(volumes: Tensor, corner: Tensor, size: Sequence[int]) -> Tensor:
    """Cut a window out of each volume.

    Args:
        volumes: `(N, 1, X, Y, Z)`.
        corner: `(N, 3)` first voxels of the windows, whole numbers.
        size: of the windows in voxels.

    Returns:
        `(N, 1, *size)`.
    """
    if tuple(size) == volumes.shape[2:]:
        return volumes
    x, y, z = (corner[:, axis, None] + torch.arange(n, device=corner.device) for axis, n in enumerate(size))
    rows = torch.arange(len(volumes), device=corner.device)[:, None, None, None]
    return volumes[rows, 0, x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]].unsqueeze(1)


def _matrix(values: np.ndarray) -> np.ndarray:
    """`scale @ shear @ translation @ rotation` of 10 numbers: 3 angles, 3 shifts, 3 shears, 1 scale."""
    rotation, translation, shear, scale = values[:3], values[3:6], values[6:9], values[9]
    parts = [
        create_scale(3, [scale] * 3),
        create_shear(3, shear),
        create_translate(3, translation),
        create_rotate(3, rotation),
    ]
    product: np.ndarray = np.linalg.multi_dot(parts)
    return product
