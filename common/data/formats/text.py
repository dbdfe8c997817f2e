"""What headers of text share: lines in front of the voxels, lists of numbers, units, another file's name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...errors import InputError
from .voxels import damaged

_LONGEST = 2**16  # bytes of a header, and of one line in it
MILLIMETRES = {"um": 0.001, "\u00b5m": 0.001, "micron": 0.001, "mm": 1.0, "cm": 10.0, "m": 1000.0}


def header_lines(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the lines of a file without their end, and the byte behind each; the caller stops at the header's end.

    Raises:
        InputError: the file cannot be read, or the header is longer than any.
    """
    try:
        with path.open("rb") as stream:
            while line := stream.readline(_LONGEST):
                if stream.tell() > _LONGEST:
                    raise EOFError("its header has no end")
                yield line.decode("utf-8", "replace").rstrip("\r\n"), stream.tell()
    except (OSError, EOFError) as error:
        raise damaged(path, error) from error


def numbers(path: Path, name: str, text: str, count: int | None = None) -> list[float]:
    """Read the numbers of a header's field, as many as asked for.

    Raises:
        InputError: something else is there.
    """
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if not values or not np.isfinite(values).all() or (count is not None and len(values) != count):
        raise InputError(f"{path}: {name} is {text[:60]!r}, {count or 'some'} numbers are needed; export it again")
    return values


def whole_numbers(path: Path, name: str, text: str, count: int | None = None) -> list[int]:
    """Read whole numbers as ``numbers`` does."""
    values = numbers(path, name, text, count)
    if any(value != int(value) for value in values):
        raise InputError(f"{path}: {name} is {text[:60]!r}, whole numbers are needed; export it again")
    return [int(value) for value in values]


def beside(path: Path, name: str) -> Path:
    """Return the file of voxels that a header names, which lies in the header's folder or below.

    Raises:
        InputError: it lies elsewhere, is missing, or there are several.
    """
    if name.upper().startswith("LIST") or "%" in name:
        raise InputError(f"{path}: its voxels lie in several files ({name[:60]}); store them in one")
    data = path.parent / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"{path}: its voxels lie in {name[:200]}; copy this file beside the header and name it there")
    if not name or not data.is_file():
        raise InputError(f"{path}: no file {data} with its voxels; restore it")
    return data
