"""Header and pixels of one DICOM file, as they are stored: what no codec has to touch cannot crash one."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ..formats.header import LARGEST_RATIO

PIXEL_DATA = 0x7FE00010
_IMPLICIT, _DEFLATED, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_UNDEFINED = 0xFFFFFFFF
_LARGEST_FILE = 2**28  # bytes, far beyond one slice
_LOUD = {"pydicom": logging.ERROR, "highdicom": logging.WARNING}  # from which level on they may speak


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
    """Read a file with one grey image, and check that its header fits its pixels; nothing is decoded.

    Raises:
        InputError: truncated, no DICOM file, a colour image, several frames, or sizes that do not fit the pixels.
    """
    compressed, syntax, tags = False, "", {}
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"{path}: {path.stat().st_size / 1e6:.0f} MB are no slice; move it out of the folder")
        stream = BytesIO(path.read_bytes())
        if stream.read(132)[128:] != b"DICM":
            raise ValueError("no DICOM")
        with quiet():
            for element in _elements(stream, False, True, lambda tag, *_: tag.group != 2):
                if element.tag == 0x00020010:
                    syntax = element.value.decode("latin-1").strip(" \0")
            if syntax == _DEFLATED:
                stream = BytesIO(zlib.decompressobj(-15).decompress(stream.read(), _LARGEST_FILE))
            for element in _elements(stream, syntax == _IMPLICIT, syntax != _BIG):
                tags[int(element.tag)] = element.value or b""
                if element.tag == PIXEL_DATA:
                    compressed = element.length == _UNDEFINED
                    break
        pixels = tags.pop(PIXEL_DATA)
    except InputError:
        raise
    except Exception as error:  # pydicom raises many kinds
        known = f" (transfer syntax {syntax[:64]})" if syntax and syntax.isprintable() else ""
        raise InputError(
            f"{path}: truncated or no DICOM image{known}; copy it again or move it out of the folder"
        ) from error
    file = DicomFile(path, syntax, tags, None if compressed else pixels, len(pixels))
    _check_pixels(file)
    return file


def _elements(stream: BytesIO, *options: Any) -> Iterator[Any]:
    """Elements outside of sequences as they are stored, each whole."""
    from pydicom.dataelem import RawDataElement
    from pydicom.filereader import data_element_generator

    for element in data_element_generator(stream, *options):
        if isinstance(element, RawDataElement):
            if element.length not in (len(element.value or b""), _UNDEFINED):
                raise ValueError("truncated")
            yield element


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out pydicom's and highdicom's remarks: what they find odd is looked for here, and told in one line."""
    before = {log: log.level for log in map(logging.getLogger, _LOUD)}
    for log, level in zip(before, _LOUD.values(), strict=True):
        log.setLevel(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in before.items():
            log.setLevel(level)


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
