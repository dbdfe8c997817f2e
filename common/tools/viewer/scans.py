"""Scans for the viewer: what is read, and where a voxel lies in the viewer's world of R, A and S in mm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from ...data.companions import organ_names
from ...data.fingerprint import HOUNSFIELD
from ...data.reading import file_name, read_label, read_scan, stem
from ...transforms.preprocessing import SOFT_TISSUE

OBLIQUE = 0.1  # degrees; a smaller tilt comes from rounding in headers


@dataclass(eq=False)
class Scan:
    """A scan that was read, ``(1, X, Y, Z)`` with its affine from voxels to RAS in mm."""

    volume: MetaTensor

    @property
    def path(self) -> Path:
        """File, or folder of a series, that it was read from."""
        return Path(file_name(self.volume))

    @property
    def name(self) -> str:
        """Name of its file without the extension."""
        return stem(self.path)

    @property
    def voxels(self) -> NDArray:
        """Intensities ``(X, Y, Z)``, not copied."""
        return self.volume.as_tensor()[0].numpy()

    @property
    def affine(self) -> NDArray[np.float64]:
        """From voxels to RAS in mm, ``(4, 4)``."""
        return self.volume.affine.double().numpy()

    def label_map(self, values: NDArray, name: str) -> MetaTensor:
        """Make of label values ``(X, Y, Z)`` that lie on this scan's grid a label map ``(1, X, Y, Z)``."""
        label = MetaTensor(torch.from_numpy(values.astype(np.float32))[None], self.volume.affine.clone())
        label.meta["filename_or_obj"] = name
        return label


def open_scan(path: str | Path) -> Scan:
    """Read a scan.

    Args:
        path: file in any format that ``fewshot segment`` takes, or the folder of a DICOM series.

    Raises:
        InputError: no such file, damaged, or no scan.
    """
    return Scan(read_scan(path))


def open_label(path: str | Path, scan: Scan) -> tuple[NDArray[np.int32], dict[int, str]]:
    """Read a label map that lies on a scan's grid.

    Returns:
        Label values ``(X, Y, Z)``, and the organs' names by label value as far as they come with the file.

    Raises:
        InputError: no such file, damaged, no label map, or another grid than the scan's.
    """
    label = read_label(path, scan.volume)
    return label.as_tensor()[0].round().numpy().astype(np.int32), organ_names([path])


def straight_affine(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a scan's axes onto those of the world that lie nearest, about its first voxel.

    A viewer that shows planes of the world cannot show, and its brush cannot draw on, the slices of a tilted scan.

    Args:
        affine: from voxels to RAS in mm, ``(4, 4)``.

    Returns:
        ``(4, 4)`` of the same spacing; equal to ``affine`` where the scan is not tilted.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = io_orientation(affine)
    straight = affine.copy()
    straight[:3, :3] = 0
    for axis, (world, direction) in enumerate(axes):
        straight[int(world), axis] = direction * spacing[axis]
    return affine.copy() if tilt(affine) < OBLIQUE else straight


def tilt(affine: NDArray[np.float64]) -> float:
    """Largest angle between an axis of a scan and the world's nearest, in degrees."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return float(np.degrees(np.arccos(np.clip(np.abs(directions).max(axis=0), 0, 1))).max())


def contrast_limits(voxels: NDArray) -> tuple[float, float]:
    """Intensities that are black and white: soft tissue of CT in HU, else the 1st to the 99.5th percentile of some."""
    some = voxels[:: max(1, voxels.shape[0] // 64), :: max(1, voxels.shape[1] // 64)]
    low, high = np.percentile(some, (1, 99.5))
    if low < HOUNSFIELD:
        return SOFT_TISSUE
    return (float(low), float(high)) if high > low else (float(voxels.min()), float(voxels.max()))
