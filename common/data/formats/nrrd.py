"""NRRD files with attached (.nrrd) or detached (.nhdr) header.

Definition: https://teem.sourceforge.net/nrrd/format.html. As in ITK, spaces that name no sides of the patient are LPS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import InputError
from .header import Header, check_affine, volume_shape
from .text import MILLIMETRES, beside, header_lines, numbers, whole_numbers

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_CODES = {name: code for code, names in _TYPES.items() for name in names}
_ENCODINGS = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_SEGMENTS = "segments"  # what we note of 3D Slicer's own keys
_TO_RAS = {
    **dict.fromkeys(("ras", "right-anterior-superior"), (1, 1)),
    **dict.fromkeys(("las", "left-anterior-superior"), (-1, 1)),
    **dict.fromkeys(("", "lps", "left-posterior-superior"), (-1, -1)),
    **dict.fromkeys(("scanner-xyz", "3d-right-handed", "3d-left-handed"), (-1, -1)),
}


def read_nrrd(path: Path) -> Header:
    """Read the header of an NRRD file.

    Raises:
        InputError: damaged, no NRRD file, no volume of real numbers, or no usable affine.
    """
    fields, start = _fields(path)
    kind, encoding = _field(path, fields, "type").lower(), _field(path, fields, "encoding").lower()
    if kind not in _CODES:
        raise InputError(f"{path}: its type is {kind[:60]!r}; give a scan with one real number in each voxel")
    if encoding not in _ENCODINGS:
        raise InputError(f"{path}: its encoding is {encoding[:60]!r}; store it as raw or gzip")
    dtype = np.dtype(_CODES[kind])
    if dtype.itemsize > 1:
        order = _field(path, fields, "endian").lower()
        if order not in ("little", "big"):
            raise InputError(f"{path}: endian is {order[:60]!r}, little or big is needed; export it again")
        dtype = dtype.newbyteorder("<" if order == "little" else ">")
    sizes, directions = _axes(path, fields)
    if len(sizes) > 3 and _SEGMENTS in fields:
        raise InputError(
            f"{path}: its segments overlap, in {sizes[3]} layers; in 3D Slicer, export the segmentation as a label map"
        )
    shape = volume_shape(path, sizes)
    affine = check_affine(path, _affine(path, fields, directions))
    data = beside(path, fields["data file"]) if "data file" in fields else path
    header = Header(path, shape, affine, dtype, data, 0 if "data file" in fields else start, _ENCODINGS[encoding])
    return _skipping(header, fields)


def _fields(path: Path) -> tuple[dict[str, str], int]:
    lines = header_lines(path)
    if not re.fullmatch(r"NRRD000[1-5]", next(lines, ("", 0))[0]):
        raise InputError(f"{path}: not a readable NRRD file (no NRRD header); export or copy it again")
    fields: dict[str, str] = {}
    start = 0
    for line, end in lines:
        start = end
        if not line:
            break
        if line.startswith("Segment0_"):
            fields[_SEGMENTS] = ""
        name, mark, value = line.partition(": ")
        if mark and not line.startswith("#"):
            name = {"datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip"}.get(name.lower(), name)
            fields[name.lower()] = value.strip()
    return fields, start


def _field(path: Path, fields: Mapping[str, str], name: str) -> str:
    if name not in fields:
        raise InputError(f"{path}: its header has no {name}; export or copy it again")
    return fields[name]


def _axes(path: Path, fields: Mapping[str, str]) -> tuple[list[int], list[str]]:
    """Sizes, and directions where they are given; an axis outside of space with one element is left out."""
    count = whole_numbers(path, "dimension", _field(path, fields, "dimension"), 1)[0]
    sizes = whole_numbers(path, "sizes", _field(path, fields, "sizes"), count)
    directions = re.findall(r"none|\([^()]*\)", fields.get("space directions", ""))
    if not directions:
        return sizes, []
    if len(directions) != len(sizes):
        raise InputError(f"{path}: {len(directions)} space directions for {len(sizes)} sizes; export it again")
    spatial = [axis for axis, direction in enumerate(directions) if direction != "none"]
    others = [axis for axis in range(count) if axis not in spatial]
    order = spatial if all(sizes[axis] == 1 for axis in others) else [*spatial, *others]
    return [sizes[axis] for axis in order], [directions[axis] for axis in spatial]


def _affine(path: Path, fields: Mapping[str, str], directions: list[str]) -> np.ndarray:
    affine = np.eye(4)
    if directions:
        if len(directions) != 3:
            raise InputError(f"{path}: {len(directions)} space directions, 3 are needed; export it again")
        rows = [numbers(path, "space directions", text.strip("()"), 3) for text in directions]
        affine[:3, :3] = np.transpose(rows)
    elif "spacings" in fields:
        affine[:3, :3] = np.diag(numbers(path, "spacings", fields["spacings"], 3))
    if "space origin" in fields:
        affine[:3, 3] = numbers(path, "space origin", fields["space origin"].strip("()"), 3)
    units = re.findall(r'"([^"]*)"', fields.get("space units", ""))
    if len(units) == 3:
        affine[:3] *= np.array([[MILLIMETRES.get(unit.lower(), 1.0)] for unit in units])
    space = fields.get("space", "").lower()
    if space not in _TO_RAS:
        raise InputError(f"{path}: its space is {space[:60]!r}; export it again in left-posterior-superior")
    affine[:2] *= np.array(_TO_RAS[space])[:, None]
    return affine


def _skipping(header: Header, fields: Mapping[str, str]) -> Header:
    """Skip lines and bytes in front of the voxels; -1 bytes: the voxels end the file."""
    path, start = header.path, header.start
    (lines,) = whole_numbers(path, "line skip", fields.get("line skip", "0"), 1)
    (skip,) = whole_numbers(path, "byte skip", fields.get("byte skip", "0"), 1)
    if lines < 0 or skip < -1 or (skip == -1 and header.encoding != "raw"):
        raise InputError(f"{path}: line skip {lines} and byte skip {skip} cannot be; export it again")
    if lines:
        raise InputError(f"{path}: {lines} lines in front of its voxels; store it without line skip")
    if skip == -1:
        start, skip = max(start, header.data.stat().st_size - header.size), 0
    return replace(header, start=start, skip=skip)
