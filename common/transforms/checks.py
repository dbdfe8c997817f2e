"""Refuse bad input before any work is done on it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Orientation
from nibabel.filebasedimages import ImageFileError

from ..data.series import check_series, is_dicom
from ..errors import InputError, one_line

LARGEST_VOLUME = 2**30  # voxels, 4 GB as float32


class CheckFilesd(MapTransform):
    """Check that the files to be loaded exist and can be read as they stand.

    NIfTI files must have an invertible affine (MONAI's reader replaces a singular one without a word) and a size that
    fits into memory. A folder must hold one whole DICOM series (``check_series``).

    Args:
        keys: keys that hold paths.
        allow_missing_keys: skip keys that are absent.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged.

        Raises:
            InputError: naming the file and what is wrong with it.
        """
        for key in self.key_iterator(data):
            path = Path(data[key])
            if not path.exists():
                raise InputError(f"{key}: no file {path}; check the path")
            if path.is_dir():
                check_series(path)
            elif path.name.endswith((".nii", ".nii.gz")):
                _check_nifti(path)
            elif is_dicom(path):
                raise InputError(f"{path}: one DICOM file; name the folder {path.parent} that holds its series")
        return dict(data)


class CheckVolumed(MapTransform):
    """Check freshly loaded volumes ``(1, X, Y, Z)``: dimensions, values, and label against image.

    A label map on its image's grid but with axes flipped or in another order is turned to its image's: programs store
    the NIfTI label map of a DICOM series so.

    Args:
        keys: keys of the volumes.
        label_keys: those of them that hold label maps.
        image_key: the volume whose geometry the label maps must share.
        allow_missing_keys: skip keys that are absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: tuple[str, ...] = ("label",),
        image_key: str = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_keys = label_keys
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data, label maps in the orientation of their image.

        Raises:
            InputError: naming the file, what was found in it and the fix.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            volume = d[key]
            name = file_name(volume)
            _check_shape(volume, name)
            if key in self.label_keys:
                _check_label(volume, name)
                if self.image_key in d:
                    d[key] = to_grid(volume, d[self.image_key])
            else:
                _check_values(volume, name)
        return d


def to_grid(label: MetaTensor, image: MetaTensor) -> MetaTensor:
    """Flip and permute a label map's axes to those of its image.

    Args:
        label: ``(1, X, Y, Z)``, the axes in any order and direction.
        image: ``(1, X, Y, Z)``; only its shape and affine are looked at.

    Returns:
        The label map with the image's shape and affine.

    Raises:
        InputError: the label map lies on another grid.
    """
    name = file_name(label)
    turn = Orientation(axcodes="".join(nib.orientations.aff2axcodes(image.affine.numpy())), labels=None)
    with turn.trace_transform(False):
        turned = turn(label)
    if turned.shape != image.shape:
        raise InputError(
            f"{name}: label grid {tuple(label.shape[1:])} differs from {tuple(image.shape[1:])} of "
            f"{file_name(image)}; resample the label map to its image"
        )
    difference = float((turned.affine - image.affine).abs().max())
    if difference > 1e-2:
        raise InputError(
            f"{name}: label affine differs from that of {file_name(image)} by up to {difference:.3g} mm; "
            "copy the image's geometry or resample the label map"
        )
    return turned


def file_name(volume: Any) -> str:
    """Return the file that a volume was loaded from, for messages."""
    meta = getattr(volume, "meta", {})
    name = meta.get("filename_or_obj", "volume")
    return str(name[0] if isinstance(name, (list, tuple)) else name)


def _check_nifti(path: Path) -> None:
    try:
        image: Any = nib.load(path)
    except (ImageFileError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a readable NIfTI file ({one_line(error)}); export or copy it again") from error
    voxels = math.prod(image.shape)
    if voxels > LARGEST_VOLUME:
        raise InputError(
            f"{path}: its header says {' x '.join(map(str, image.shape))} voxels, more than {LARGEST_VOLUME:.1e}; "
            "crop or resample the scan"
        )
    determinant = float(np.linalg.det(image.affine[:3, :3]))
    if not abs(determinant) > 1e-8:
        raise InputError(
            f"{path}: its affine is not invertible (determinant {determinant:.3g}); repair the header's geometry"
        )


def _check_shape(volume: MetaTensor, name: str) -> None:
    if volume.ndim != 4:
        raise InputError(f"{name}: has {volume.ndim - 1} dimensions, a 3D volume is needed; stack the slices first")
    if volume.shape[0] != 1:
        raise InputError(
            f"{name}: is 4D with {volume.shape[0]} volumes or channels; give one 3D volume (split the series first)"
        )


def _check_values(volume: MetaTensor, name: str) -> None:
    values = volume.as_tensor()
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise InputError(f"{name}: {bad} voxels are NaN or infinite; replace them, for instance by the air value")
    if values.min() == values.max():
        raise InputError(f"{name}: every voxel is {float(values.min()):g}; this is not a scan, check the file")


def _check_label(volume: MetaTensor, name: str) -> None:
    values = volume.as_tensor()
    if not bool((torch.isfinite(values) & (values >= 0) & (values == values.round())).all()):
        odd = values[~(torch.isfinite(values) & (values >= 0) & (values == values.round()))][0]
        raise InputError(f"{name}: label value {float(odd):g} found; a label map holds whole numbers from 0 up")
