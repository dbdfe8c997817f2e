"""The voxels of a scan that is being drawn, in millimetres of the body, and the brushes that paint tissues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float32]
Mask = NDArray[np.bool_]

_UNDRAWN = -1.0


class Canvas:
    """A subject's voxels in template millimetres (x to the right, y anterior, z superior) and what lies in them.

    A smooth random displacement bends every organ at once; scale and shift make subjects large or off centre.

    Args:
        generator: source of every random draw.
        pixels: along x and along y.
        slices: along z.
        spacing: of pixels in mm.
        slice_spacing: of slices in mm.
        tissues: mean intensity of every tissue.
        sizes: smallest and largest scale along x, y and z.
        shifts: standard deviation of the shift along x, y and z in mm.
        bend: size of the displacement in mm.
        contrast: largest relative change of a tissue's intensity.
        grain: factor of all textures.

    Attributes:
        x, y, z: ``(X, Y, Z)`` place of each voxel in template millimetres.
        image: ``(X, Y, Z)`` intensities.
        label: ``(X, Y, Z)`` uint8.
        body: ``(X, Y, Z)`` what is not air.
    """

    def __init__(
        self,
        generator: np.random.Generator,
        pixels: int,
        slices: int,
        spacing: float,
        slice_spacing: float,
        tissues: Mapping[str, float],
        sizes: tuple[Sequence[float], Sequence[float]] = ((0.92, 0.9, 0.92), (1.04, 1.06, 1.08)),
        shifts: Sequence[float] = (4, 4, 6),
        bend: float = 4.5,
        contrast: float = 0.1,
        grain: float = 1.0,
    ) -> None:
        self.generator = generator
        self.spacing = spacing
        self.grain = grain
        in_plane = (np.arange(pixels) - (pixels - 1) / 2) * spacing
        through = (np.arange(slices) - (slices - 1) / 2) * slice_spacing
        self.axes = (-in_plane, in_plane, through)
        scale = generator.uniform(*sizes)
        shift = generator.normal(0, shifts)
        mesh = np.meshgrid(*self.axes, indexing="ij", sparse=True)
        self.x, self.y, self.z = (
            ((axis - offset) / size + bend * self.noise(55)).astype(np.float32)
            for axis, offset, size in zip(mesh, shift, scale, strict=True)
        )
        self.image = np.full(self.x.shape, _UNDRAWN, np.float32)
        self.label = np.zeros(self.x.shape, np.uint8)
        self.body = np.zeros(self.x.shape, bool)
        self.tissues = {name: value * generator.uniform(1 - contrast, 1 + contrast) for name, value in tissues.items()}

    def signal(self) -> Volume:
        """Give the intensities ``(X, Y, Z)``, 0 outside of the body and where nothing is painted."""
        return np.where(self.body, np.maximum(self.image, 0), 0).astype(np.float32)

    def labels(self) -> NDArray[np.uint8]:
        """Give the labels ``(X, Y, Z)``, 0 outside of the body."""
        return np.where(self.body, self.label, 0).astype(np.uint8)

    def noise(self, scale: float) -> Volume:
        """Smooth noise of zero mean and unit variance with correlation length ``scale`` in millimetres."""
        weights = []
        for axis in self.axes:
            reach = np.abs(axis).max() + 2 * scale
            knots = np.arange(-reach, reach + scale, scale)
            weight = np.exp(-0.5 * ((axis[:, None] - knots) / (0.75 * scale)) ** 2)
            weights.append(weight / np.linalg.norm(weight, axis=1, keepdims=True))
        field = self.generator.standard_normal([weight.shape[1] for weight in weights])
        for weight in weights:
            field = np.tensordot(field, weight, axes=(0, 1))
        return field.astype(np.float32)

    def ellipsoid(
        self,
        centre: tuple[float, float, float],
        radii: tuple[float, float, float],
        turn: float = 0,
        lean: float = 0,
        jitter: float = 3,
    ) -> Volume:
        """Distance from a jittered ellipsoid's centre in radii: below 1 inside.

        Args:
            centre: in template mm.
            radii: in mm; each varies by a tenth.
            turn: rotation in the axial plane in degrees, x towards y; varies by 5 degrees.
            lean: shift of x in mm for each mm of z.
            jitter: standard deviation of the centre in mm.
        """
        middle = self.generator.normal(centre, jitter)
        size = np.asarray(radii) * self.generator.uniform(0.9, 1.1, 3)
        angle = np.deg2rad(turn + self.generator.normal(0, 5))
        dz = self.z - middle[2]
        dx = self.x - middle[0] - lean * dz
        dy = self.y - middle[1]
        along = (np.cos(angle) * dx + np.sin(angle) * dy) / size[0]
        across = (np.cos(angle) * dy - np.sin(angle) * dx) / size[1]
        return np.sqrt(along**2 + across**2 + (dz / size[2]) ** 2).astype(np.float32)

    def paint(self, where: Mask, tissue: str, texture: NDArray[np.floating[Any]] | float = 0.0, label: int = 0) -> None:
        """Overwrite voxels with a tissue, its intensity modulated by the relative ``texture``, and its label."""
        change = self.grain * np.broadcast_to(np.asarray(texture, np.float32), where.shape)[where]
        value = self.tissues[tissue] * (1 + change)
        self.image[where] = value
        self.label[where] = label
