"""The NIfTI files of a download, and those whose names fit a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ...data.reading import stem

_NIFTI = (".nii.gz", ".nii")


def nifti_files(folder: Path) -> list[Path]:
    """List the NIfTI files in a folder and all folders below, hidden ones left out, sorted by path."""
    found = (path for path in folder.rglob("*") if path.name.lower().endswith(_NIFTI) and path.is_file())
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
