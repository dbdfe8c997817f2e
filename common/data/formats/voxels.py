"""The voxels that a header describes: decoded piece by piece, to the end of the stream and its checksum."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from nibabel.volumeutils import apply_read_scaling

from ...errors import InputError, one_line
from .header import LARGEST_REST, Header, check_claim

_PIECE = 2**20  # bytes
DAMAGE = (OSError, EOFError, zlib.error, ValueError)


def read_voxels(header: Header, small: float) -> np.ndarray:
    """Read a volume ``(X, Y, Z)`` in the number type of the file, or float64 where its values are scaled.

    Compressed streams are read to their end, so that their checksum is verified.

    Args:
        header: of the file.
        small: bytes up to which any compression is believed, see ``check_claim``.

    Raises:
        InputError: the file is truncated or damaged.
    """
    check_claim(header, small)
    stored = np.frombuffer(_read(header), header.dtype).reshape(header.shape, order="F")
    if header.slope is None:
        return stored
    with np.errstate(all="ignore"):
        return apply_read_scaling(stored, np.float64(header.slope), np.float64(header.intercept or 0))


def decoded(stream: BinaryIO, encoding: str) -> Iterator[bytes]:
    """Decode a stream piece by piece; the decoder raises one of ``DAMAGE`` where it is damaged or ends early."""
    if encoding == "zlib":
        yield from _inflated(stream)
        return
    opened: Any = {"gzip": gzip.open, "bzip2": bz2.open, "raw": nullcontext}[encoding]
    with opened(stream) as source:
        while piece := source.read(_PIECE):
            yield piece


def damaged(path: Path, error: Exception) -> InputError:
    """Say that a file is damaged, or that the system does not let it be read."""
    if isinstance(error, OSError) and error.errno is not None:
        return InputError(f"{path}: cannot be read ({error.strerror}); check its disk and its permissions")
    return InputError(f"{path}: truncated or damaged ({one_line(error)}); export or copy it again")


def _read(header: Header) -> bytearray:
    found, passed, end = bytearray(), 0, header.skip + header.size
    try:
        with header.data.open("rb") as stream:
            stream.seek(header.start)
            for piece in decoded(stream, header.encoding):
                found += piece[max(header.skip - passed, 0) : max(end - passed, 0)]
                passed += len(piece)
                if header.encoding == "raw" and passed >= end:
                    break
                if passed > end + LARGEST_REST:
                    raise ValueError(f"it is longer than the {end} bytes that its header promises")
    except DAMAGE as error:
        raise damaged(header.path, error) from error
    if passed < end:
        raise InputError(
            f"{header.path}: truncated, its header promises {end} bytes and {passed} are there; copy it again"
        )
    return found


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    decoder = zlib.decompressobj(47)  # of zlib or gzip, as it finds
    while not decoder.eof:
        block = decoder.unconsumed_tail or stream.read(_PIECE)
        if not block:
            raise EOFError("the compressed data end early")
        yield decoder.decompress(block, _PIECE)
