"""DICOM-SEG as label maps: one label value for each segment, its number."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from ...errors import InputError, one_line
from .series import is_dicom

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MODALITY = "SEG"


def need_dicom() -> None:
    """Check that the packages for DICOM-SEG are installed.

    Raises:
        InputError: they are not.
    """
    missing = [name for name in ("pydicom", "highdicom") if find_spec(name) is None]
    if missing:
        raise InputError(f'DICOM-SEG needs {" and ".join(missing)}: pip install "fewshot-bundles[dicom]"')


def is_dicom_seg(path: Path) -> bool:
    """Tell whether a path is a DICOM file that holds a segmentation."""
    if not path.is_file() or not is_dicom(path):
        return False
    import pydicom

    header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    return str(header.get("Modality")) == _MODALITY


def read_dicom_seg(path: Path, image: MetaTensor | None = None) -> MetaTensor:
    """Read a DICOM-SEG as a label map.

    Args:
        path: file.
        image: its scan ``(1, X, Y, Z)``; slices that the file leaves out are empty then.

    Returns:
        Segment numbers ``(1, X, Y, Z)``, on the scan's grid where one is given.

    Raises:
        InputError: highdicom is not installed, the file is damaged, its segments overlap, or it lies on another grid.
    """
    segmentation = _open(path)
    from highdicom import VolumeGeometry

    try:
        volume = segmentation.get_volume(combine_segments=True)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read as a label map: {one_line(error)}; export it as one") from error
    if image is not None:
        affine = _TO_RAS @ image.affine.numpy().astype(float)
        grid = VolumeGeometry(affine, tuple(image.shape[1:]), coordinate_system="PATIENT")
        _check_inside(path, volume, grid)
        try:
            volume = volume.match_geometry(grid, tol=1e-2)
        except (ValueError, RuntimeError) as error:
            raise InputError(
                f"{path}: does not lie on the grid of its scan ({one_line(error)}); give the scan that it was drawn on"
            ) from error
    meta = {"filename_or_obj": str(path)}
    ras = torch.as_tensor(_TO_RAS @ volume.affine)
    return MetaTensor(torch.from_numpy(volume.array.astype(np.float32))[None], ras, meta=meta)


def segment_names(path: Path) -> dict[int, str]:
    """Return the labels of a DICOM-SEG's segments by their numbers."""
    return {int(part.SegmentNumber): str(part.SegmentLabel) for part in _open(path).SegmentSequence}


def _check_inside(path: Path, volume: Any, grid: Any) -> None:
    """Refuse what would be cut off: a segment that lies beyond the scan."""
    drawn = np.argwhere(volume.array > 0)
    places = grid.map_reference_to_indices(volume.map_indices_to_reference(drawn))
    beyond = (places < -0.5) | (places > np.array(grid.spatial_shape) - 0.5)
    if beyond.any():
        raise InputError(f"{path}: segments lie beyond their scan; give the scan that they were drawn on")


def _open(path: Path) -> Any:
    need_dicom()
    from highdicom.seg import segread

    try:
        return segread(path)
    except Exception as error:  # pydicom and highdicom raise many kinds
        raise InputError(f"{path}: not a readable DICOM-SEG ({one_line(error)}); export it again") from error
