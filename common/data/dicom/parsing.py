"""Header and pixels of one DICOM file, parsed here (PS3.5 section 7): what no codec has to touch cannot crash one."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..formats.header import LARGEST_RATIO

PIXEL_DATA = 0x7FE00010
_IMPLICIT, _DEFLATED, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_UNCOMPRESSED = (_IMPLICIT, "1.2.840.10008.1.2.1", _DEFLATED, _BIG)
_LARGEST_FILE = 2**28  # bytes, far beyond one slice
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class DicomFile:
    """A parsed file.

    Attributes:
        path: the file.
        syntax: transfer syntax.
        tags: tag to value of the elements outside of sequences, up to the pixels.
        pixels: as they are stored; None: compressed.
        held: bytes of the pixels, compressed or not.
    """

    path: Path
    syntax: str
    tags: dict[int, bytes]
    pixels: bytes | None
    held: int

    def text(self, tag: int) -> str:
        """Return a value without padding; empty where it is absent."""
        return self.tags.get(tag, b"").decode("latin-1").strip(" \0")

    def numbers(self, tag: int) -> list[float]:
        """Return the numbers of a value of text; nothing where it holds something else, or a number is not finite."""
        try:
            values = [float(part) for part in self.text(tag).split("\\")]
        except ValueError:
            return []
        return values if np.isfinite(values).all() else []

    def whole(self, tag: int, default: int = 0) -> int:
        """Return a binary number of two bytes."""
        value = self.tags.get(tag, b"")
        return int.from_bytes(value[:2], "big" if self.syntax == _BIG else "little") if len(value) > 1 else default

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.whole(0x00280011), self.whole(0x00280010)

    @property
    def rescale(self) -> tuple[float, float]:
        """Slope and intercept; 1 and 0 where they are absent."""
        slope, intercept = (self.numbers(tag) if self.text(tag) else None for tag in (0x00281053, 0x00281052))
        if slope == [0.0] or (slope is not None and len(slope) != 1) or (intercept is not None and len(intercept) != 1):
            raise InputError(
                f"{self.path}: Rescale Slope is {self.text(0x00281053)!r} and Rescale Intercept "
                f"{self.text(0x00281052)!r}; one number each is needed, the slope not 0"
            )
        return (slope or [1.0])[0], (intercept or [0.0])[0]


def read_dicom(path: Path) -> DicomFile:
    """Parse a file with one grey image, and check that its header fits its pixels; nothing is decoded.

    Raises:
        InputError: truncated, no DICOM file, a colour image, several frames, or sizes that do not fit the pixels.
    """
    syntax = ""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path}: {path.stat().st_size / 1e6:.0f} MB are no slice; move it out of the folder")
        content = path.read_bytes()
        if content[128:132] != b"DICM":
            raise ValueError("no DICOM")
        meta, position, _ = _elements(content, 132, implicit=False, order="<", group=2)
        syntax = meta.get(0x00020010, b"").decode("latin-1").strip(" \0")
        if syntax == _DEFLATED:
            content, position = zlib.decompressobj(-15).decompress(content[position:], _LARGEST_FILE), 0
        order = ">" if syntax == _BIG else "<"
        tags, position, length = _elements(content, position, syntax == _IMPLICIT, order)
        if length is None:
            raise ValueError("no pixels")
        compressed = length == _UNDEFINED
        held = _fragments(content, position) if compressed else length
    except (OSError, ValueError, IndexError, struct.error, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        known = f" (transfer syntax {syntax})" if syntax else ""
        raise InputError(
            f"{path}: truncated or no DICOM image{known}; copy it again or move it out of the folder"
        ) from error
    file = DicomFile(path, syntax, tags, None if compressed else content[position : position + length], held)
    _check_pixels(file)
    return file


def pixel_values(file: DicomFile) -> np.ndarray:
    """Return the rescaled values ``(columns, rows)`` of a file that is not compressed, as float64.

    MONOCHROME1, whose lowest value is white, is inverted before, as ITK does.
    """
    columns, rows = file.size
    signed, allocated = file.whole(0x00280103), file.whole(0x00280100)
    stored = file.whole(0x00280101, allocated)
    above = allocated - 1 - file.whole(0x00280102, stored - 1)  # bits over the highest one that counts
    dtype = np.dtype(f"{'>' if file.syntax == _BIG else '<'}{'i' if signed else 'u'}{allocated // 8}")
    values = np.frombuffer(file.pixels or b"", dtype, rows * columns).astype(dtype.newbyteorder("="))
    values = np.right_shift(np.left_shift(values, above), allocated - stored)  # other bits out, the sign carried on
    if file.text(0x00280004) == "MONOCHROME1":
        values = values.dtype.type(-1 if signed else 2**stored - 1) - values
    slope, intercept = file.rescale
    return values.reshape(rows, columns).T * np.float64(slope) + intercept


def _elements(
    content: bytes, position: int, implicit: bool, order: str, group: int | None = None
) -> tuple[dict[int, bytes], int, int | None]:
    """Elements outside of sequences, then where the pixels begin and their length; None: there are none.

    Args:
        content: of the file.
        position: of the first element.
        implicit: no value representations are stored.
        order: of bytes.
        group: end with this group, not with the pixels.
    """
    found: dict[int, bytes] = {}
    modes = [implicit]  # of the sequences of undefined length around the element
    while position < len(content):
        first, second = struct.unpack_from(f"{order}HH", content, position)
        if group is not None and first != group:
            return found, position, None
        tag = first << 16 | second
        if first == 0xFFFE:  # an item, its end or that of a sequence
            if second == 0xE0DD and len(modes) > 1:
                modes.pop()
            position += 8
            continue
        kind = b"" if modes[-1] else content[position + 4 : position + 6]
        if kind and not kind.isalpha():
            raise ValueError("no value representation")
        long = kind in _LONG
        form, at = ("I", 8 if long else 4) if long or not kind else ("H", 6)
        (length,) = struct.unpack_from(order + form, content, position + at)
        position += 12 if long else 8
        if tag == PIXEL_DATA and len(modes) == 1:
            if length != _UNDEFINED and position + length > len(content):
                raise ValueError("truncated")
            return found, position, length
        if length == _UNDEFINED and form == "I":
            modes.append(modes[-1] or kind == b"UN")
            continue
        if position + length > len(content):
            raise ValueError("truncated")
        if len(modes) == 1:
            found[tag] = content[position : position + length]
        position += length
    return found, position, None


def _fragments(content: bytes, position: int) -> int:
    """Bytes of all fragments of compressed pixels, the table of offsets in front of them left out."""
    lengths: list[int] = []
    while True:
        first, second, length = struct.unpack_from("<HHI", content, position)
        if (first, second) == (0xFFFE, 0xE0DD):
            return sum(lengths[1:])
        position += 8 + length
        if (first, second) != (0xFFFE, 0xE000) or position > len(content):
            raise ValueError("truncated")
        lengths.append(length)


def _check_pixels(file: DicomFile) -> None:
    path, kind, frames = file.path, file.text(0x00280004), file.text(0x00280008)
    if kind not in ("", "MONOCHROME1", "MONOCHROME2") or file.whole(0x00280002, 1) != 1:
        raise InputError(f"{path}: a colour image ({kind[:20]}); move it out of the folder")
    if frames not in ("", "1"):
        raise InputError(
            f"{path}: {frames[:20]} frames in one file; export one file for each slice, or convert the series to "
            "NIfTI, for instance with dcm2niix"
        )
    columns, rows = file.size
    allocated = file.whole(0x00280100)
    stored = file.whole(0x00280101, allocated)
    highest = file.whole(0x00280102, stored - 1)
    if allocated not in (8, 16, 32) or not 0 < stored <= highest + 1 <= allocated:
        raise InputError(f"{path}: {stored} of {allocated} bits, the highest {highest}: no grey image; export it again")
    promised = columns * rows * allocated // 8
    fits = promised <= file.held <= promised + promised % 2
    if not promised or (file.pixels is not None and not fits):
        raise InputError(
            f"{path}: its header says {columns} columns and {rows} rows of {allocated} bits, {promised} bytes, but "
            f"{file.held} bytes of pixels are there; export or copy it again"
        )
    if file.pixels is None and promised > 2**24 and promised > LARGEST_RATIO * file.held:
        raise InputError(
            f"{path}: its header promises {promised / 1e6:.0f} MB in {file.held} compressed bytes; export it again"
        )
    _ = file.rescale
