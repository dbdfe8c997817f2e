"""Results on the disk, in the geometry of the scan that they belong to."""

from __future__ import annotations

import gzip
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..data.formats import extension
from ..data.formats.nifti import nifti_header
from ..data.reading import file_name
from ..errors import InputError, in_server
from ..files.writing import write_bytes
from ..results.marks import voxels_mark

_NIFTI = (".nii", ".nii.gz")


class SaveAnswerd(MapTransform):
    """Write results as ``<answer>_<postfix>.nii.gz``, whole or not at all.

    A NIfTI query's header is carried over: sform, qform and their codes, units, shape; other scans' results get their
    grid. Label maps are int16, int32 where a label needs it; other results float32. In a MONAI Label server nothing is
    written, it does that itself.

    Args:
        keys: keys of results ``(1, X, Y, Z)`` on the grid of the scan that was read.
        postfix: what follows the answer's name.
    """

    def __init__(self, keys: KeysCollection, postfix: str) -> None:
        super().__init__(keys)
        self.postfix = postfix

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged; ``answer`` and ``mark`` are those of ``name_answers``.

        Raises:
            WriteError: the disk is full or cannot be written to.
        """
        if not in_server():
            for key in self.key_iterator(data):
                image = as_nifti(data[key], file_name(data[key]), data["mark"])
                content = gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)
                write_bytes(answer_file(data, f"{self.postfix}.nii.gz"), content)
        return dict(data)


def answer_file(data: Mapping[Hashable, Any], ending: str) -> Path:
    """Return the path of a result, ``<answer>_<ending>``.

    Raises:
        InputError: the scans were not given as ``image``, so that nobody decided on names.
    """
    if "answer" not in data:
        raise InputError("dataset#data was replaced, so that results have no names; give the scans as image instead")
    return Path(f"{data['answer']}_{ending}")


def as_nifti(result: MetaTensor, scan: str, mark: str) -> Any:
    """Return a result as a NIfTI image in its scan's geometry.

    Args:
        result: ``(1, X, Y, Z)``, with the affine of the scan, mm.
        scan: file that the scan was read from.
        mark: of the command, stored in the header.
    """
    voxels = result[0].cpu().numpy()
    if np.issubdtype(voxels.dtype, np.floating):
        voxels = voxels.astype(np.float32)
    else:
        voxels = voxels.astype(np.int16 if voxels.max(initial=0) <= np.iinfo(np.int16).max else np.int32)
    header = _scan_header(scan, voxels.size)
    if header is None:
        image = nib.Nifti1Image(voxels, result.affine.cpu().numpy().astype(float))
        image.set_sform(image.affine, code=1)
        image.set_qform(image.affine, code=1)
        image.header.set_xyzt_units("mm")
    else:
        voxels = voxels.reshape(header.get_data_shape())
        header.set_data_dtype(voxels.dtype)
        kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
        image = kind(voxels, None, header)
    image.header["descrip"] = voxels_mark(mark, voxels).encode()
    return image


def _scan_header(scan: str, size: int) -> Any:
    """A NIfTI scan's header without what describes its intensities; None for scans of other kinds."""
    if not Path(scan).is_file() or extension(scan).lower() not in _NIFTI:
        return None
    header = nifti_header(scan)
    if np.prod(header.get_data_shape()) != size:
        return None
    header.set_slope_inter(1, 0)
    header["cal_min"] = header["cal_max"] = header["vox_offset"] = 0
    header["aux_file"] = b""
    header.set_intent("none")
    return header
