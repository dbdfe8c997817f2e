"""MetaImage files with the voxels inside (.mha) or in a file beside (.mhd).

Definition: https://itk.org/Wiki/ITK/MetaIO/Documentation. Positions are LPS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import InputError
from .header import Header, check_affine, volume_shape
from .text import MILLIMETRES, beside, header_lines, numbers, whole_numbers

_TYPES = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4"},
    **{"MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}


def read_metaimage(path: Path) -> Header:
    """Read the header of a MetaImage file.

    Raises:
        InputError: damaged, no MetaImage file, no volume of real numbers, or no usable affine.
    """
    fields, start = _fields(path)
    if "dimsize" not in fields or "elementdatafile" not in fields:
        raise InputError(f"{path}: not a readable MetaImage file (no MetaImage header); export or copy it again")
    channels = whole_numbers(path, "ElementNumberOfChannels", fields.get("elementnumberofchannels", "1"), 1)[0]
    kind = fields.get("elementtype", "")
    if kind not in _TYPES or channels != 1:
        raise InputError(
            f"{path}: {channels} channels of {kind[:60] or 'no type'}; give a scan with one real number in each voxel"
        )
    if not _flag(fields, "binarydata", True):
        raise InputError(f"{path}: its voxels are text; store it as binary")
    (count,) = whole_numbers(path, "NDims", fields.get("ndims", ""), 1)
    shape = volume_shape(path, whole_numbers(path, "DimSize", fields["dimsize"], count))
    affine = check_affine(path, _affine(path, fields, count))
    big = _flag(fields, "binarydatabyteordermsb", False) or _flag(fields, "elementbyteordermsb", False)
    dtype = np.dtype(_TYPES[kind]).newbyteorder(">" if big else "<")
    name = fields["elementdatafile"]
    local = name.upper() == "LOCAL"
    header = Header(
        path,
        shape,
        affine,
        dtype,
        path if local else beside(path, name),
        start if local else 0,
        "zlib" if _flag(fields, "compresseddata", False) else "raw",
    )
    (front,) = whole_numbers(path, "HeaderSize", fields.get("headersize", "0"), 1)
    return header if local or front == 0 else _behind(header, front)


def _fields(path: Path) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    start = 0
    for line, end in header_lines(path):
        start = end
        name, mark, value = line.partition("=")
        if not mark:
            break
        fields[name.strip().lower()] = value.strip()
        if name.strip().lower() == "elementdatafile":
            break
    return fields, start


def _flag(fields: Mapping[str, str], name: str, default: bool) -> bool:
    return fields[name][:1].lower() in ("t", "1", "y") if fields.get(name) else default


def _affine(path: Path, fields: Mapping[str, str], count: int) -> np.ndarray:
    def field(*names: str) -> tuple[str, str | None]:
        return next(((name, fields[name]) for name in names if name in fields), (names[0], None))

    affine = np.eye(4)
    name, text = field("transformmatrix", "rotation", "orientation")
    if text is not None:
        axes = np.reshape(numbers(path, name, text, count * count), (count, count))
        affine[:3, :3] = axes[:3, :3].T
    name, text = field("elementspacing", "elementsize")
    if text is not None:
        affine[:3, :3] *= numbers(path, name, text, count)[:3]
    name, text = field("offset", "position", "origin")
    if text is not None:
        affine[:3, 3] = numbers(path, name, text, count)[:3]
    affine[:3] *= MILLIMETRES.get(fields.get("distanceunits", "").lower(), 1.0)
    affine[:2] *= -1  # LPS to RAS
    return affine


def _behind(header: Header, front: int) -> Header:
    """Voxels behind a foreign header of ``front`` bytes; -1: they end the file."""
    if front < -1 or (front == -1 and header.encoding != "raw"):
        raise InputError(f"{header.path}: HeaderSize is {front}, at least 0 is needed; export it again")
    start = max(header.data.stat().st_size - header.size, 0) if front == -1 else front
    return replace(header, start=start)
