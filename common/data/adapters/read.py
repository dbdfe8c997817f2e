"""Read scans and label maps as the bundles do, with the same refusals."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from pathlib import Path

from monai.data import MetaTensor
from monai.transforms import LoadImage

from ...errors import InputError, one_line
from ...transforms.checks import CheckFilesd, CheckVolumed

NIFTI = (".nii.gz", ".nii")


def read_image(path: Path) -> MetaTensor:
    """Read a NIfTI file or the folder of a DICOM series as ``(1, X, Y, Z)`` float32.

    Raises:
        InputError: the file or series is damaged or holds no scan.
    """
    image: MetaTensor = CheckVolumed("image")({"image": _load(path)})["image"]
    return image


def read_label(path: Path, image: MetaTensor) -> MetaTensor:
    """Read a label map as ``(1, X, Y, Z)`` float32 with the axes of its image.

    Raises:
        InputError: the file is damaged, holds no label map, or lies on another grid than the image.
    """
    loaded = CheckVolumed(["image", "label"])({"image": image, "label": _load(path)})
    label: MetaTensor = loaded["label"]
    return label


def nifti_files(folder: Path) -> list[Path]:
    """List the NIfTI files in a folder and all folders below, hidden ones left out, sorted by path."""
    found = (path for path in folder.rglob("*.nii*") if path.name.endswith(NIFTI) and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def by_name(paths: Iterable[Path], pattern: str) -> tuple[dict[str, Path], list[str]]:
    """Pick the files whose name without extension matches, by the pattern's first group.

    Args:
        paths: NIfTI files.
        pattern: regular expression for the whole name.

    Returns:
        Group to file, and one line for each file whose group is there already.
    """
    chosen: dict[str, Path] = {}
    faults = []
    for path in paths:
        match = re.fullmatch(pattern, stem(path))
        if match is None:
            continue
        if match[1] in chosen:
            faults.append(f"{path}: {chosen[match[1]]} has the same name; move one of them away")
        chosen.setdefault(match[1], path)
    return chosen, faults


def stem(path: Path) -> str:
    """Name of a NIfTI file without its extension."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _load(path: Path) -> MetaTensor:
    CheckFilesd("scan")({"scan": str(path)})
    reader = "ITKReader" if path.is_dir() else "NibabelReader"
    try:
        volume: MetaTensor = LoadImage(reader=reader, image_only=True, ensure_channel_first=True)(str(path))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)}); copy or unpack it again") from error
    return volume
