"""Refuse bad input before any work is done on it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from nibabel.filebasedimages import ImageFileError

from ..errors import InputError, one_line


class CheckFilesd(MapTransform):
    """Check that the files to be loaded exist, and that NIfTI files are readable and have an invertible affine.

    The affine is checked in the file because MONAI's reader replaces a singular one without a word.

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
            if path.name.endswith((".nii", ".nii.gz")):
                _check_nifti(path)
        return dict(data)


class CheckVolumed(MapTransform):
    """Check freshly loaded volumes ``(1, X, Y, Z)``: dimensions, values, and label against image.

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
        """Return the data unchanged.

        Raises:
            InputError: naming the file, what was found in it and the fix.
        """
        for key in self.key_iterator(data):
            volume = data[key]
            name = file_name(volume)
            _check_shape(volume, name)
            if key in self.label_keys:
                _check_label(volume, name)
                if self.image_key in data:
                    _check_same_geometry(volume, data[self.image_key])
            else:
                _check_values(volume, name)
        return dict(data)


def file_name(volume: Any) -> str:
    """Return the file that a volume was loaded from, for messages."""
    meta = getattr(volume, "meta", {})
    name = meta.get("filename_or_obj", "volume")
    return str(name[0] if isinstance(name, (list, tuple)) else name)


def _check_nifti(path: Path) -> None:
    try:
        affine = nib.load(path).affine  # type: ignore[attr-defined]
    except (ImageFileError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a readable NIfTI file ({one_line(error)}); export or copy it again") from error
    determinant = float(np.linalg.det(affine[:3, :3]))
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


def _check_same_geometry(label: MetaTensor, image: MetaTensor) -> None:
    name = file_name(label)
    if label.shape != image.shape:
        raise InputError(
            f"{name}: label grid {tuple(label.shape[1:])} differs from {tuple(image.shape[1:])} of "
            f"{file_name(image)}; resample the label map to its image"
        )
    difference = float((label.affine - image.affine).abs().max())
    if difference > 1e-2:
        raise InputError(
            f"{name}: label affine differs from that of {file_name(image)} by up to {difference:.3g} mm; "
            "copy the image's geometry or resample the label map"
        )
