"""NIfTI-1 and NIfTI-2 files, compressed or not, whatever their name says about it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from ...errors import InputError
from .header import Header, check_affine, usable, volume_dtype, volume_shape
from .voxels import DAMAGE, damaged, decoded

_KINDS = {348: (Nifti1Header, slice(344, 348), b"n+1\0"), 540: (Nifti2Header, slice(4, 12), b"n+2\0\r\n\x1a\n")}
_MILLIMETRES = {1: 1000.0, 3: 0.001}  # metres, micrometres; everything else counts as mm
_FAULTS = (HeaderDataError, WrapStructError, ValueError, OverflowError, KeyError)
# What nibabel finds odd in a header and mends is not a person's business.
_quiet = logging.getLogger(f"{__name__}.mended")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


def nifti_header(path: str | Path) -> Nifti1Header:
    """Read a NIfTI file's own header, for its two forms, their codes, its units and its dimensions.

    Raises:
        InputError: the file is missing, damaged or no NIfTI file.
    """
    return _read(Path(path))[0]


def read_nifti(path: Path) -> Header:
    """Read the header of a NIfTI file; its units may be metres, millimetres or micrometres.

    The affine is that of the sform where this can be used, else that of the qform (as nibabel chooses, which does not
    ask whether it can be used).

    Raises:
        InputError: damaged, no NIfTI file, no volume of real numbers, or no usable affine.
    """
    header, compressed = _read(path)
    if not 0 < header["dim"][0] < 8:
        raise _unreadable(path, f"{header['dim'][0]} dimensions")
    try:
        shape = [int(size) for size in header.get_data_shape()]
        dtype = volume_dtype(path, header.get_data_dtype())
        slope, intercept = header.get_slope_inter()
        skip = int(header.get_data_offset())
    except InputError:
        raise
    except _FAULTS as error:
        raise _unreadable(path, str(error)) from error
    affine = _affine(path, header)
    description = bytes(header["descrip"]).rstrip(b"\0").decode("latin-1")
    encoding = "gzip" if compressed else "raw"
    where = (path, 0, encoding, skip)
    return Header(path, volume_shape(path, shape), affine, dtype, *where, slope, intercept, description)


def _read(path: Path) -> tuple[Nifti1Header, bool]:
    try:
        with path.open("rb") as stream:
            compressed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            block = next(decoded(stream, "gzip"), b"") if compressed else stream.read(540)
    except FileNotFoundError:
        raise InputError(f"no file {path}; check the path") from None
    except DAMAGE as error:
        raise damaged(path, error) from error
    orders = {int.from_bytes(block[:4], order): mark for order, mark in (("little", "<"), ("big", ">"))}  # type: ignore
    size = next((size for size in _KINDS if size in orders), None)
    if size is None or len(block) < size:
        raise _unreadable(path, "no NIfTI header" if block else "the file is empty")
    kind, where, magic = _KINDS[size]
    if block[where] != magic:
        raise _unreadable(path, "no NIfTI header with its voxels in the same file")
    try:
        header = kind(block[:size], orders[size], check=False)
        header.check_fix(_quiet, error_level=40)
    except _FAULTS as error:
        raise _unreadable(path, str(error)) from error
    return header, compressed


def _affine(path: Path, header: Nifti1Header) -> np.ndarray:
    scale = np.diag([*[_MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)] * 3, 1.0])
    forms = [_form(header, name) for name in ("sform", "qform") if int(header[f"{name}_code"]) > 0]
    forms = forms or [header.get_base_affine()]
    chosen = next((form for form in forms if usable(form)), forms[0])
    return check_affine(path, scale @ check_affine(path, chosen))


def _form(header: Nifti1Header, name: str) -> np.ndarray:
    """One of the two forms; zeros where its numbers make none."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(header.get_sform() if name == "sform" else header.get_qform(), np.float64)
    except _FAULTS:
        return np.zeros((4, 4))


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: not a readable NIfTI file ({' '.join(reason.split())}); export or copy it again")
