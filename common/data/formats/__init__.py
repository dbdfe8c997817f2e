"""File formats of scans: each module reads a header, and one function the voxels that any header describes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from .header import Header
from .metaimage import read_metaimage
from .nifti import read_nifti
from .nrrd import read_nrrd
from .voxels import read_voxels

# By extension, in small letters; the longer one of two that fit first.
_READERS: dict[str, Callable[[Path], Header]] = {
    **dict.fromkeys((".nii.gz", ".nii"), read_nifti),
    **dict.fromkeys((".nrrd", ".nhdr"), read_nrrd),
    **dict.fromkeys((".mha", ".mhd"), read_metaimage),
}
EXTENSIONS = tuple(_READERS)

__all__ = ["EXTENSIONS", "extension", "read_header", "read_voxels"]


def extension(path: str | Path) -> str:
    """Return the extension of a scan's name as it is written there, in whatever capitals; empty for other names."""
    name = Path(path).name
    known = next((ending for ending in EXTENSIONS if name.lower().endswith(ending)), "")
    return name[len(name) - len(known) :] if known else ""


def read_header(path: Path) -> Header:
    """Read and check the header of a file; no voxel is read.

    Raises:
        InputError: naming the file and what is wrong with it.
    """
    reader = _READERS.get(extension(path).lower())
    if reader is None:
        raise InputError(f"{path}: not a file of a scan; give {', '.join(EXTENSIONS)} or the folder of a DICOM series")
    return reader(path)
