"""What a file's header says about its volume, checked before any memory is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError

LARGEST_VOLUME = 2**30  # voxels, 4 GB as float32
LARGEST_RATIO = 200  # of compression: a scan is noise for the most part, only a file made to fill the memory has more

LARGEST_REST = 1024  # bytes behind the voxels; more of them, and the header has lost some of the volume


@dataclass(frozen=True)
class Header:
    """Where a volume lies in its file.

    Attributes:
        path: the file that was named.
        shape: voxels along the three axes, first axis fastest in the file.
        affine: ``(4, 4)`` from voxels to RAS in mm.
        dtype: number type of a voxel in the file, byte order included.
        data: file with the voxels, often the same.
        start: byte of that file at which the stream of voxels begins.
        encoding: of that stream: raw, gzip, zlib or bzip2.
        skip: bytes of the decoded stream in front of the first voxel.
        slope: factor of the stored values; None: they are not scaled.
        intercept: added to the scaled values.
        description: what a NIfTI file says of itself, empty for other formats.
    """

    path: Path
    shape: tuple[int, int, int]
    affine: np.ndarray
    dtype: np.dtype
    data: Path
    start: int = 0
    encoding: str = "raw"
    skip: int = 0
    slope: float | None = None
    intercept: float | None = None
    description: str = ""

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.dtype.itemsize


def volume_shape(path: Path, shape: Sequence[int]) -> tuple[int, int, int]:
    """Return the three sizes of a volume; axes behind them may have one element.

    Raises:
        InputError: fewer or more dimensions, an empty axis, or more voxels than ``LARGEST_VOLUME``.
    """
    listed = " x ".join(map(str, shape)) or "no"
    if not shape or min(shape) < 1:
        raise InputError(f"{path}: its header says {listed} voxels; export or copy it again")
    if len(shape) < 3:
        raise InputError(f"{path}: has {len(shape)} dimensions, a 3D volume is needed; stack the slices first")
    count = math.prod(shape[3:])
    if count != 1:
        raise InputError(f"{path}: is 4D with {count} volumes or channels; give one 3D volume (split the series first)")
    if math.prod(shape) > LARGEST_VOLUME:
        raise InputError(
            f"{path}: its header says {listed} voxels, more than {LARGEST_VOLUME:.1e}; crop or resample the scan"
        )
    return shape[0], shape[1], shape[2]


def volume_dtype(path: Path, dtype: np.dtype) -> np.dtype:
    """Return the number type of a voxel.

    Raises:
        InputError: a voxel is no real number.
    """
    if dtype.names or dtype.kind not in "iuf":
        kind = "colours" if dtype.names else "complex numbers" if dtype.kind == "c" else str(dtype)
        raise InputError(f"{path}: its voxels are {kind}; give a scan with one real number in each voxel")
    return dtype


def usable(affine: np.ndarray) -> bool:
    """Tell whether an affine is finite, and its three axes neither vanish nor lie in one plane."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.isfinite(affine).all() or not ((lengths > 1e-6) & (lengths < 1e9)).all():
            return False
        return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-3)


def check_affine(path: Path, affine: np.ndarray) -> np.ndarray:
    """Return an affine that can be used.

    Raises:
        InputError: it cannot.
    """
    if not usable(affine):
        with np.errstate(all="ignore"):
            determinant = float(np.linalg.det(affine[:3, :3]))
        raise InputError(
            f"{path}: its affine is not invertible (determinant {determinant:.3g}); repair the header's geometry"
        )
    return affine


def check_claim(header: Header, small: float) -> None:
    """Check that a file has the length for what its header promises.

    Args:
        header: of the file.
        small: bytes up to which any compression is believed; of label maps, much may be.

    Raises:
        InputError: it is too short, so much shorter that no scan can be in it, or too long.
    """
    promised = header.skip + header.size
    held = header.data.stat().st_size - header.start
    if header.encoding == "raw":
        if held < promised:
            raise InputError(
                f"{header.path}: truncated, its header promises {promised} bytes and {max(held, 0)} are there; "
                "copy it again"
            )
        if header.data == header.path and held > promised + LARGEST_REST:
            raise InputError(
                f"{header.path}: its header promises {promised} bytes and {held} are there; export or copy it again"
            )
    elif promised > small and promised > LARGEST_RATIO * held:
        raise InputError(
            f"{header.path}: its header promises {promised / 1e6:.0f} MB in {held} compressed bytes; "
            "this is not a scan, check the file"
        )
