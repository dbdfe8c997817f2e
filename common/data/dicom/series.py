"""DICOM series: a folder of slices is checked before it is read.

Slices that are missing, mixed up, sheared or damaged are refused: a reader that leaves out what it cannot parse, or
puts equal steps between slices whatever their positions, would give another patient without a word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ..formats.header import LARGEST_VOLUME
from .codecs import decode
from .parsing import DicomFile, pixel_values, read_dicom

# What lies beside slices without being one, besides hidden files.
_OTHER_FILES = (".txt", ".json", ".xml", ".csv", ".md", ".htm", ".html", ".pdf", ".png", ".jpg", ".gz", ".nii", ".db")
# Series UID and number, its date, modality, description: what tells two series in one folder apart.
_SERIES = (0x0020000E, 0x00200011, 0x00080021, 0x00080060, 0x0008103E)
_CONVERT = "convert the series to NIfTI, for instance with dcm2niix"


@dataclass(frozen=True)
class Slice:
    """Header of a slice.

    ``series`` is what names it; ``position`` ``(3,)`` in mm and ``axes`` ``(2, 3)`` of rows and columns are in LPS;
    ``spacing`` and ``size`` are along columns' and rows' numbers.
    """

    path: Path
    series: tuple[str, ...]
    position: np.ndarray
    axes: np.ndarray
    spacing: tuple[float, float]
    size: tuple[int, int]
    compressed: bool
    syntax: str


def is_dicom(path: Path) -> bool:
    """Tell whether a file has DICOM's mark behind its preamble."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def holds_series(folder: Path) -> bool:
    """Tell whether a folder holds DICOM files; nothing is checked."""
    return folder.is_dir() and any(map(is_dicom, _files(folder)))


def check_series(folder: Path) -> list[Slice]:
    """Check that a folder holds one whole, evenly spaced series of grey images of one frame; nothing is decoded.

    Slices that are missing at either end leave no trace in the others and are not noticed.

    Args:
        folder: folder with the files of the series and nothing in other folders below.

    Returns:
        The slices in order of their position along their normal.

    Raises:
        InputError: no DICOM files, a damaged file, several series, a slice that is missing or there twice, a tilted
            gantry, more than ``LARGEST_VOLUME`` voxels.
    """
    files = _files(folder)
    if not any(map(is_dicom, files)):
        below = next((path.parent for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)), None)
        fix = f"name the folder of one series, such as {below}" if below else "name the folder of a series"
        raise InputError(f"{folder}: no DICOM files in this folder; {fix}")
    slices = [_slice(read_dicom(path)) for path in files]
    _check_single(folder, slices)
    normal = np.cross(*slices[0].axes)
    ordered = sorted(slices, key=lambda item: float(item.position @ normal))
    _check_positions(folder, ordered)
    columns, rows = ordered[0].size
    if columns * rows * len(ordered) > LARGEST_VOLUME:
        raise InputError(
            f"{folder}: {columns} x {rows} x {len(ordered)} voxels, more than {LARGEST_VOLUME:.1e}; {_CONVERT}"
        )
    return ordered


def read_series(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Check a series and read its rescaled values, ``(X, Y, Z)`` float32, and affine ``(4, 4)`` to RAS in mm.

    X counts columns, Y rows, Z slices by position.

    Raises:
        InputError: as for ``check_series``, and pixels that cannot be decoded.
    """
    slices = check_series(folder)
    volume = np.empty((*slices[0].size, len(slices)), np.float32)
    packed = [number for number, item in enumerate(slices) if item.compressed]
    if packed:
        items = [slices[number] for number in packed]
        volume[..., packed] = decode([item.path for item in items], [item.syntax for item in items], items[0].size)
    with np.errstate(all="ignore"):  # what overflows is infinite and found
        for number, item in enumerate(slices):
            if not item.compressed:
                volume[..., number] = pixel_values(read_dicom(item.path))
    return volume, series_affine(slices)


def series_affine(slices: Sequence[Slice]) -> np.ndarray:
    """Return the affine ``(4, 4)`` to RAS in mm of slices in order, one voxel thick where there is but one."""
    first, last = slices[0], slices[-1]
    normal = np.cross(*first.axes)
    step = float((last.position - first.position) @ normal) / (len(slices) - 1) if len(slices) > 1 else 1.0
    affine = np.eye(4)
    affine[:3] = np.column_stack([*(first.axes.T * first.spacing).T, normal * step, first.position])
    affine[:2] *= -1  # LPS to RAS
    return affine


def _files(folder: Path) -> list[Path]:
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != ".")
    return [path for path in files if path.name != "DICOMDIR" and not path.name.lower().endswith(_OTHER_FILES)]


def _slice(file: DicomFile) -> Slice:
    def numbers(tag: int, name: str, count: int) -> np.ndarray:
        values = np.array(file.numbers(tag))
        if values.shape != (count,):
            raise InputError(f"{file.path}: {name} is {file.text(tag)[:60]!r}, {count} numbers are needed; {_CONVERT}")
        return values

    position = numbers(0x00200032, "Image Position (Patient)", 3)
    axes = numbers(0x00200037, "Image Orientation (Patient)", 6).reshape(2, 3)
    rows, columns = numbers(0x00280030, "Pixel Spacing", 2)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-3):
        raise InputError(f"{file.path}: Image Orientation (Patient) {axes.ravel().tolist()} holds no two unit vectors")
    if not 1e-6 < min(rows, columns) <= max(rows, columns) < 1e6 or np.abs(position).max() > 1e9:
        raise InputError(
            f"{file.path}: Pixel Spacing {file.text(0x00280030)!r} at {position.tolist()} mm cannot be; {_CONVERT}"
        )
    series = tuple(file.text(tag) for tag in _SERIES)
    return Slice(file.path, series, position, axes, (columns, rows), file.size, file.pixels is None, file.syntax)


def _check_single(folder: Path, slices: Sequence[Slice]) -> None:
    """Refuse several series, also where de-identification has emptied their UIDs."""
    groups: list[list[Slice]] = []
    for item in slices:
        alike = next((group for group in groups if _alike(group[0], item)), None)
        groups.append([item]) if alike is None else alike.append(item)
    if len(groups) > 1:
        listed = ", ".join(f"{len(group)} slices like {group[0].path.name}" for group in groups)
        raise InputError(f"{folder}: {len(groups)} series are mixed ({listed}); put each into a folder of its own")


def _alike(one: Slice, other: Slice) -> bool:
    same = one.series == other.series and one.size == other.size
    return same and np.allclose(one.axes, other.axes, atol=1e-3) and np.allclose(one.spacing, other.spacing, atol=1e-3)


def _check_positions(folder: Path, slices: Sequence[Slice]) -> None:
    """Check that slices stand above each other in equal steps, as ITK will assume."""
    normal = np.cross(*slices[0].axes)
    positions = np.stack([item.position for item in slices])
    along = positions @ normal
    steps = np.diff(along)
    if not len(steps):
        return
    twice = int(steps.argmin())
    if steps[twice] < 1e-3:
        names = f"{slices[twice].path.name} and {slices[twice + 1].path.name}"
        raise InputError(
            f"{folder}: {names} are at one position, {along[twice]:.2f} mm; two series, phases or echoes are mixed, "
            "put each into a folder of its own"
        )
    drift = (positions - positions[0]) @ slices[0].axes.T
    if np.abs(drift).max() > 0.1 * min(slices[0].spacing):
        shift = float(np.abs(drift).max())
        raise InputError(f"{folder}: slices are sheared by up to {shift:.2f} mm (tilted gantry); {_CONVERT}")
    even = np.linspace(along[0], along[-1], len(along))
    if np.abs(along - even).max() > 0.05 * np.median(steps) + 1e-3:
        wide = int(np.abs(steps - np.median(steps)).argmax())
        raise InputError(
            f"{folder}: a slice is missing or misplaced after {slices[wide].path.name}: the next one follows "
            f"{steps[wide]:.2f} mm on, from {along[wide]:.2f} to {along[wide + 1]:.2f} mm, elsewhere "
            f"{np.median(steps):.2f} mm; restore the whole series"
        )
