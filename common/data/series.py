"""DICOM series: a folder of slices is checked before it is read.

ITK leaves out files that it cannot parse, puts equal steps between slices whatever their positions, and straightens a
tilted gantry, all without a word. MONAI's ``ITKReader`` takes the first of several series. All are refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError

# What lies beside slices without being one, besides hidden files.
_OTHER_FILES = (".txt", ".json", ".xml", ".csv", ".md", ".htm", ".html", ".pdf", ".png", ".jpg", ".gz", ".nii", ".db")
_SERIES = ("0020|000e", "0020|0011", "0008|0060", "0008|103e")  # UID, number, modality, description
_CONVERT = "convert the series to NIfTI, for instance with dcm2niix"


@dataclass(frozen=True)
class Slice:
    """Header of a slice.

    ``series`` is what names it; ``position`` ``(3,)`` in mm and ``axes`` ``(2, 3)`` of rows and columns are in LPS.
    """

    path: Path
    series: tuple[str, ...]
    position: np.ndarray
    axes: np.ndarray
    spacing: tuple[float, float]
    size: tuple[int, int]
    stored_as: int


def is_dicom(path: Path) -> bool:
    """Tell whether a file has DICOM's mark behind its preamble."""
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def holds_series(folder: Path) -> bool:
    """Tell whether a folder holds DICOM files; nothing is checked."""
    return folder.is_dir() and any(map(is_dicom, _files(folder)))


def check_series(folder: Path) -> list[Path]:
    """Check that a folder holds one whole, readable, evenly spaced series of single-frame images.

    Every slice is decoded once, so that a damaged file is found before any work is done. Slices that are missing at
    either end leave no trace in the others and are not noticed.

    Args:
        folder: folder with the files of the series and nothing in other folders below.

    Returns:
        The files in the order in which ITK stacks them: by position along the normal of the slices.

    Raises:
        InputError: no DICOM files, a file that cannot be read or decoded, several series, a slice that is missing or
            there twice, a tilted gantry.
    """
    files = _files(folder)
    if not any(map(is_dicom, files)):
        below = next((path.parent for path in sorted(folder.rglob("*")) if path.is_file() and is_dicom(path)), None)
        fix = f"name the folder of one series, such as {below}" if below else "name the folder of a series"
        raise InputError(f"{folder}: no DICOM files in this folder; {fix}")
    slices = [_read(path) for path in files]
    _check_single(folder, slices)
    ordered = _by_position(slices)
    _check_positions(folder, ordered)
    _check_as_monai_reads(folder, slices)
    return [item.path for item in ordered]


def read_series(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Check a series and read it as MONAI does: voxels ``(X, Y, Z)`` and affine ``(4, 4)`` to RAS in mm.

    Raises:
        InputError: as for ``check_series``.
    """
    from monai.data import ITKReader

    check_series(folder)
    reader = ITKReader()
    voxels, meta = reader.get_data(reader.read(str(folder)))
    voxels = voxels[..., None] if voxels.ndim == 2 else voxels
    return voxels, np.asarray(meta["affine"], np.float64)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not _is_other(path)]


def _is_other(path: Path) -> bool:
    return path.name.startswith(".") or path.name == "DICOMDIR" or path.name.lower().endswith(_OTHER_FILES)


def _read(path: Path) -> Slice:
    import itk

    reader = itk.GDCMImageIO.New()
    try:
        readable = reader.CanReadFile(str(path))
    except RuntimeError:
        readable = False
    if not readable:
        syntax = _transfer_syntax(path)
        known = f" (transfer syntax {syntax})" if syntax else ""
        raise InputError(f"{path}: truncated or no DICOM image{known}; copy it again or move it out of the folder")
    try:
        itk.imread(str(path), itk.F, imageio=reader)
    except RuntimeError as error:
        raise InputError(
            f"{path}: ITK cannot decode its pixel data (transfer syntax {_transfer_syntax(path)}); "
            "copy it again, or decompress the series, for instance with gdcmconv --raw"
        ) from error
    return _header(path, reader)


def _header(path: Path, reader: Any) -> Slice:
    tags = reader.GetMetaDataDictionary()

    def numbers(tag: str, name: str, count: int) -> np.ndarray:
        text = tags[tag] if tags.HasKey(tag) else ""
        try:
            values = np.array([float(part) for part in text.split("\\")])
        except ValueError:
            values = np.array([])
        if values.shape != (count,) or not np.isfinite(values).all():
            raise InputError(f"{path}: {name} is {text.strip()!r}, {count} numbers are needed; {_CONVERT}")
        return values

    frames = tags["0028|0008"].strip() if tags.HasKey("0028|0008") else "1"
    if frames not in ("", "1"):
        raise InputError(f"{path}: {frames} frames in one file; export one file for each slice, or {_CONVERT}")
    if reader.GetNumberOfComponents() != 1:
        raise InputError(f"{path}: a colour image; move it out of the folder")
    position = numbers("0020|0032", "Image Position (Patient)", 3)
    axes = numbers("0020|0037", "Image Orientation (Patient)", 6).reshape(2, 3)
    rows, columns = numbers("0028|0030", "Pixel Spacing", 2)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-3):
        raise InputError(f"{path}: Image Orientation (Patient) {axes.ravel().tolist()} holds no two unit vectors")
    read = [*(reader.GetOrigin(axis) for axis in range(3)), reader.GetSpacing(0), reader.GetSpacing(1)]
    if not np.allclose(read, [*position, columns, rows], atol=1e-3):
        raise InputError(f"{path}: ITK does not follow its position and spacing; {_CONVERT}")
    return Slice(
        path,
        tuple(tags[tag].strip() if tags.HasKey(tag) else "" for tag in _SERIES),
        position,
        axes,
        (columns, rows),
        (reader.GetDimensions(0), reader.GetDimensions(1)),
        reader.GetComponentType(),
    )


def _transfer_syntax(path: Path) -> str:
    """Read (0002,0010), which ITK does not hand out: always explicit little endian, within the first bytes."""
    with path.open("rb") as stream:
        head = stream.read(2048)
    start = head.find(b"\x02\x00\x10\x00UI")
    length = int.from_bytes(head[start + 6 : start + 8], "little")
    return head[start + 8 : start + 8 + length].rstrip(b"\0 ").decode("ascii", "replace") if start >= 0 else ""


def _check_single(folder: Path, slices: Sequence[Slice]) -> None:
    """Refuse several series, also where de-identification has emptied their UIDs."""
    groups: list[list[Slice]] = []
    for item in slices:
        alike = next((group for group in groups if _alike(group[0], item)), None)
        groups.append([item]) if alike is None else alike.append(item)
    if len(groups) > 1:
        _refuse_several(folder, [(len(group), group[0].path.name) for group in groups])


def _alike(one: Slice, other: Slice) -> bool:
    same = one.series == other.series and one.size == other.size
    return same and np.allclose(one.axes, other.axes, atol=1e-3) and np.allclose(one.spacing, other.spacing, atol=1e-3)


def _check_as_monai_reads(folder: Path, slices: Sequence[Slice]) -> None:
    """Group files as MONAI's ITKReader does, which then reads the first group only and in the first slice's type."""
    import itk

    names = itk.GDCMSeriesFileNames.New()
    names.SetUseSeriesDetails(True)
    names.AddSeriesRestriction("0008|0021")
    names.SetDirectory(str(folder))
    groups = [names.GetFileNames(uid) for uid in names.GetSeriesUIDs()]
    if len(groups) > 1:
        _refuse_several(folder, [(len(group), Path(group[0]).name) for group in groups])
    if sum(map(len, groups)) != len(slices):
        left_out = sorted({item.path.name for item in slices} - {Path(name).name for name in groups[0]})
        raise InputError(f"{folder}: ITK leaves out {', '.join(left_out[:3])}; {_CONVERT}")
    if len({item.stored_as for item in slices}) > 1:
        raise InputError(f"{folder}: rescale slopes differ so that slices need different number types; {_CONVERT}")


def _refuse_several(folder: Path, groups: Sequence[tuple[int, str]]) -> None:
    listed = ", ".join(f"{count} slices like {name}" for count, name in groups)
    raise InputError(f"{folder}: {len(groups)} series are mixed ({listed}); put each into a folder of its own")


def _by_position(slices: Sequence[Slice]) -> list[Slice]:
    normal = np.cross(*slices[0].axes)
    return sorted(slices, key=lambda item: float(item.position @ normal))


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
