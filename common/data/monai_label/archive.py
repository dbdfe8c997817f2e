"""Segmentations that another program stored in the DICOM archive of a MONAI Label server, as labels.

MONAI Label keeps each as it came, in a folder named by its SeriesInstanceUID beside the label map that it makes of it;
that one holds the drawn slices alone and no names. pydicom reads them here: highdicom does not go with MONAI Label.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ...errors import InputError, one_line
from ...files.writing import write_bytes
from ..dicom.series import is_dicom
from ..reading import read_scan

logger = logging.getLogger(__name__)

_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SEGMENT = "SegmentIdentificationSequence"
_DAMAGE = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_SAME_PLACE = 0.1  # of a voxel, from rounding in headers


def fetch_labels(store: Any) -> bool:
    """Let a datastore fetch what its archive holds by now; False where there is no archive, or it does not give it."""
    if not any(kind.__name__ == "DICOMWebDatastore" for kind in type(store).__mro__):
        return False
    try:
        store.datalist()
    except Exception as error:  # what MONAI Label cannot convert must not keep a request from its own answer
        logger.warning("the archive's segmentations were not all fetched: %s", one_line(error))
        return False
    return True


def stored_segmentation(label: str, info: Any) -> str:
    """Return the DICOM-SEG that a label was made of; "" where a client of the server submitted it.

    Args:
        label: path of the label map.
        info: what the server knows about it.
    """
    series = info.get("SeriesInstanceUID") if isinstance(info, Mapping) and "label_info" not in info else None
    files = sorted(Path(label).parent.joinpath(str(series)).glob("*.dcm")) if series else []
    return str(files[0]) if len(files) == 1 and is_dicom(files[0]) else ""


def segments(path: str) -> list[dict[str, Any]]:
    """List a DICOM-SEG's segments in the manner of a label's ``label_info``; none of a damaged one."""
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        return [{"name": str(part.SegmentLabel), "idx": int(part.SegmentNumber)} for part in header.SegmentSequence]
    except _DAMAGE as error:
        logger.warning("the segments of %s have no names: %s", Path(path).name, one_line(error))
        return []


def whole_label_map(path: str, scan: str) -> str:
    """Write the label map of a DICOM-SEG on its scan's grid, beside it.

    Args:
        path: the DICOM-SEG; slices that it leaves out are empty.
        scan: what the server has made of the series.

    Returns:
        Path of the label map.

    Raises:
        InputError: it cannot be read, lies on another grid, or its segments overlap.
    """
    target = Path(path).with_suffix(".nii.gz")
    image = read_scan(scan)
    affine = image.affine.numpy().astype(float)
    try:
        label = _label_map(path, np.linalg.inv(_TO_RAS @ affine), tuple(image.shape[1:]))
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path}: cannot be read as a label map: {one_line(error)}; export it as one") from error
    write_bytes(target, gzip.compress(nib.Nifti1Image(label, affine).to_bytes(), compresslevel=1, mtime=0))
    return str(target)


def _label_map(path: str, to_voxel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return segment numbers ``(X, Y, Z)``; ``to_voxel`` leads from DICOM's coordinates to voxels."""
    import pydicom

    file = pydicom.dcmread(path)
    shared = file.SharedFunctionalGroupsSequence[0]
    label = np.zeros(shape, np.int16)
    frames = np.asarray(file.pixel_array).reshape(-1, file.Rows, file.Columns)
    for own, frame in zip(file.PerFrameFunctionalGroupsSequence, frames, strict=True):
        measures, orientation, position, segment = (
            getattr(own if name in own else shared, name)[0]  # what all frames have in common is said once
            for name in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence", _SEGMENT)
        )
        cosines = np.array(orientation.ImageOrientationPatient, float).reshape(2, 3)
        steps = [cosines[0] * float(measures.PixelSpacing[1]), cosines[1] * float(measures.PixelSpacing[0])]
        corner = np.array(position.ImagePositionPatient, float)
        ends = np.c_[[corner, corner + steps[0], corner + steps[1]], np.ones(3)]
        voxels = (ends @ to_voxel.T)[:, :3]
        slice_ = round(voxels[0, 2])
        expected = np.array([[0, 0, slice_], [1, 0, slice_], [0, 1, slice_]])
        if np.abs(voxels - expected).max() > _SAME_PLACE or not 0 <= slice_ < shape[2] or frame.T.shape != shape[:2]:
            raise InputError(f"{path}: does not lie on the grid of its series; store one that was drawn on it")
        drawn, plane = frame.T > 0, label[..., slice_]
        if (plane[drawn] > 0).any():
            raise InputError(f"{path}: its segments overlap; store one without overlap")
        plane[drawn] = segment.ReferencedSegmentNumber
    return label
