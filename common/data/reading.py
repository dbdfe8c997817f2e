"""The one way in for scans and label maps: every format, one set of checks.

Nothing else opens a scan. A refusal is one line that names the file, what was found in it and the fix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from monai.utils import MetaKeys, SpaceKeys

from ..errors import InputError
from .clipped import CLIPPED, clipped_percentile
from .dicom.seg_reader import is_dicom_seg, read_dicom_seg
from .dicom.series import is_dicom, read_series
from .formats import extension, read_header, read_voxels
from .formats.header import LARGEST_VOLUME
from .formats.voxels import damaged

_LARGEST_FLOAT = 2**24  # whole numbers up to here are exact in float32
_SAME_PLACE = 0.1  # of a voxel that a corner of scan and label map may lie apart, from rounding in headers
_NEARLY = 1e-3  # what a whole number may lose on its way through a float


def read_scan(path: str | Path) -> MetaTensor:
    """Read a scan as ``(1, X, Y, Z)`` float32, its affine from voxels to RAS in mm.

    The meta hold ``filename_or_obj``, ``affine``, ``original_affine``, ``spatial_shape``, ``space`` and
    ``original_channel_dim``, whatever the format, and ``CLIPPED`` where a NIfTI file says so. A NIfTI file's own two
    forms, units and dimensions are had by ``nifti_header(meta["filename_or_obj"])``.

    Args:
        path: file with one of ``formats.EXTENSIONS``, in any capitals, or the folder of a DICOM series.

    Raises:
        InputError: no such file, damaged, of another kind, or no scan.
    """
    path = _existing(path)
    voxels, affine, description = _voxels(path, small=2**28)
    volume = check_scan(_volume(path, voxels, affine, np.float32))
    percentile = clipped_percentile(description)
    if percentile is not None:
        volume.meta[CLIPPED] = percentile
    return volume


def read_label(path: str | Path, image: MetaTensor | None = None) -> MetaTensor:
    """Read a label map as whole numbers ``(1, X, Y, Z)``, float32 or, with values beyond 2**24, float64.

    Args:
        path: as for ``read_scan``, or a DICOM-SEG, whose segment numbers become label values.
        image: its scan; the label map gets its axes (``to_grid``).

    Raises:
        InputError: as for ``read_scan``; values that are no label values, another grid than the image's.
    """
    path = _existing(path, segmentation=True)
    if is_dicom_seg(path):
        return check_label(read_dicom_seg(path, image), image)
    if image is not None and path.is_file() and sorted(read_header(path).shape) != sorted(image.shape[1:]):
        raise _other_grid(path, read_header(path).shape, image)  # before memory is taken
    voxels, affine, _ = _voxels(path, small=2**30 if image is None else math.inf)
    exact = voxels.dtype.kind in "iu" and max(-int(voxels.min()), int(voxels.max())) <= _LARGEST_FLOAT
    dtype = np.float32 if exact or np.can_cast(voxels.dtype, np.float32) else np.float64
    return check_label(_volume(path, voxels, affine, dtype), image)


def scan_shape(path: str | Path) -> tuple[int, int, int] | None:
    """Return the shape in a file's header, which is checked; None for a folder, of which only the existence is.

    Raises:
        InputError: no such file, or a header that cannot be used.
    """
    path = _existing(path)
    return None if path.is_dir() else read_header(path).shape


def holds_its_voxels(path: str | Path) -> bool:
    """Tell whether the voxels lie in the file itself, not in another one that its header names.

    Raises:
        InputError: no such file, or a header that cannot be used.
    """
    path = _existing(path)
    return path.is_dir() or read_header(path).data == path


def stem(path: str | Path) -> str:
    """Return the name of a scan without its extension, whatever its capitals; of a folder, its name."""
    path = Path(path)
    return path.name if path.is_dir() else path.name.removesuffix(extension(path))


def check_scan(image: MetaTensor) -> MetaTensor:
    """Return a scan ``(1, X, Y, Z)`` that can be used.

    Raises:
        InputError: other dimensions, values that are not finite, or all the same.
    """
    name = file_name(image)
    _check_shape(image, name)
    values = image.as_tensor()
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise InputError(f"{name}: {bad} voxels are NaN or infinite; replace them, for instance by the air value")
    if values.min() == values.max():
        raise InputError(f"{name}: every voxel is {float(values.min()):g}; this is not a scan, check the file")
    return image


def check_label(label: MetaTensor, image: MetaTensor | None = None) -> MetaTensor:
    """Return a label map ``(1, X, Y, Z)`` of whole numbers, nearly whole ones rounded, on its image's axes.

    Raises:
        InputError: values that are no label values, or another grid than the image's.
    """
    name = file_name(label)
    _check_shape(label, name)
    values = label.as_tensor()
    whole = values.round() + 0.0  # no -0
    fine = (whole >= 0) & (whole <= 2**31 - 1) & ((values - whole).abs() <= _NEARLY)
    if not bool(fine.all()):
        odd = float(values[~fine][0])
        raise InputError(f"{name}: label value {odd:.10g} found; a label map holds whole numbers from 0 to 2147483647")
    exact = torch.float32 if float(whole.max()) <= _LARGEST_FLOAT else torch.float64
    label = MetaTensor(whole.to(exact)).copy_meta_from(label)
    return label if image is None else to_grid(label, image)


def check_resampling(volume: MetaTensor, pixdim: Sequence[float]) -> None:
    """Check what resampling would ask for, before it does: a header in wrong units asks for terabytes.

    Args:
        volume: ``(C, X, Y, Z)``.
        pixdim: spacing after resampling in mm; not above 0: that axis is kept.

    Raises:
        InputError: more voxels than ``LARGEST_VOLUME``.
    """
    spacing = volume.affine[:3, :3].norm(dim=0).tolist()
    voxels = math.prod(
        (size - 1) * (found / wanted if wanted > 0 else 1) + 1
        for size, found, wanted in zip(volume.shape[1:], spacing, pixdim, strict=True)
    )
    if voxels > LARGEST_VOLUME:
        raise InputError(
            f"{file_name(volume)}: its spacing of {' x '.join(f'{found:.4g}' for found in spacing)} mm asks for "
            f"{voxels:.3g} voxels after resampling, more than {LARGEST_VOLUME:.1e}; correct the header's units or "
            "spacing, or crop the scan"
        )


def to_grid(label: MetaTensor, image: MetaTensor) -> MetaTensor:
    """Flip and permute a label map's axes to those of its image.

    Programs store the NIfTI label map of a DICOM series with axes flipped or in another order.

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
        raise _other_grid(name, tuple(label.shape[1:]), image)
    corners = torch.cartesian_prod(*(torch.tensor([0.0, size - 1]) for size in image.shape[1:]))
    places = torch.cat([corners, torch.ones(len(corners), 1)], dim=1).double()
    distance = float((places @ (turned.affine - image.affine).double().T).norm(dim=1).max())
    if not distance <= _SAME_PLACE * float(image.pixdim.min()):
        raise InputError(
            f"{name}: label affine differs from that of {file_name(image)} by up to {distance:.3g} mm; "
            "copy the image's geometry or resample the label map"
        )
    turned.affine = image.affine  # or rounding would give them different sizes once they are resampled
    return turned


def file_name(volume: Any) -> str:
    """Return the file that a volume was loaded from, for messages."""
    meta = getattr(volume, "meta", {})
    name = meta.get("filename_or_obj", "volume")
    return str(name[0] if isinstance(name, (list, tuple)) else name)


def _existing(path: str | Path, segmentation: bool = False) -> Path:
    if not str(path):
        raise InputError("the path of a scan is empty; name a file or the folder of a DICOM series")
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"no file {path}; check the path")
        if not path.is_dir() and not path.is_file():
            raise InputError(f"{path}: neither a file nor a folder; name the file of a scan")
        if path.is_file() and not extension(path) and is_dicom(path) and not (segmentation and is_dicom_seg(path)):
            raise InputError(f"{path}: one DICOM file; name the folder {path.parent} that holds its series")
    except OSError as error:
        raise damaged(path, error) from error
    return path


def _voxels(path: Path, small: float) -> tuple[np.ndarray, np.ndarray, str]:
    """Voxels ``(X, Y, Z)`` as they are stored, their affine, and what the file says of itself."""
    if path.is_dir():
        return *read_series(path), ""
    header = read_header(path)
    return read_voxels(header, small), header.affine, header.description


def _volume(path: Path, voxels: np.ndarray, affine: np.ndarray, dtype: type) -> MetaTensor:
    meta = {
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.asarray(voxels.shape),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan"),
        "filename_or_obj": str(path),
    }
    with np.errstate(all="ignore"):  # what overflows is infinite and found
        values: np.ndarray = np.array(voxels, dtype, order="C")
    return MetaTensor(torch.from_numpy(values)[None], torch.as_tensor(affine), meta=meta)


def _check_shape(volume: MetaTensor, name: str) -> None:
    if volume.ndim != 4:
        raise InputError(f"{name}: has {volume.ndim - 1} dimensions, a 3D volume is needed; stack the slices first")
    if volume.shape[0] != 1:
        raise InputError(
            f"{name}: is 4D with {volume.shape[0]} volumes or channels; give one 3D volume (split the series first)"
        )


def _other_grid(name: Any, shape: tuple[int, ...], image: MetaTensor) -> InputError:
    return InputError(
        f"{name}: label grid {shape} differs from {tuple(image.shape[1:])} of {file_name(image)}; "
        "resample the label map to its image"
    )
