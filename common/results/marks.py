"""Whose file is it: results carry a mark of the command that made them, and only that command replaces them."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import PROGRAM
from ..errors import InputError


def mark_of(*settings: Any) -> str:
    """Return the mark of a command: 48 letters, equal for equal inputs and settings.

    Args:
        settings: what tells commands apart; what JSON can hold, and paths, which count by the place that they name.
    """
    text = json.dumps(settings, default=_place, sort_keys=True)
    return f"{PROGRAM} {hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _place(setting: Any) -> str:
    return os.path.abspath(setting) if isinstance(setting, os.PathLike) else repr(setting)


def relative(source: str | Path, path: Path) -> str:
    """Name an input by its place seen from the result, for results that move together with their input.

    Args:
        source: file or folder that the command reads.
        path: of the result.
    """
    return os.path.relpath(source, path.parent)


def voxels_mark(mark: str, voxels: np.ndarray) -> str:
    """Return the mark for a NIfTI file's ``descrip``: the command's and the voxels', so that a corrected map is told.

    Args:
        mark: of the command.
        voxels: as stored.
    """
    return f"{mark} {hashlib.sha256(voxels.tobytes(order='F')).hexdigest()[:24]}"


def check_output(path: str | Path, mark: str, inputs: Sequence[str | Path] = (), overwrite: bool = False) -> None:
    """Check, before any work, that a result may be written to a path.

    Args:
        path: file to be written.
        mark: of the command; a file that carries it may be replaced.
        inputs: files, and folders of series, that the command reads; they are never written over.
        overwrite: replace what another command or a person made.

    Raises:
        InputError: the file is an input, or exists and was not made by this command.
    """
    path = Path(path)
    for source in map(Path, inputs):
        if _is_part(path, source, mark):
            raise InputError(f"{path}: would be written over, and {source} is an input of this command; {_ELSEWHERE}")
    if not overwrite and os.path.lexists(path) and not _bears(path, mark):
        raise InputError(
            f"{path} exists and was not made by this command, or was changed since; {_ELSEWHERE}, or replace it with "
            "--overwrite (overwrite: true)"
        )


_ELSEWHERE = "choose another output folder or name"


def _is_part(path: Path, source: Path, mark: str) -> bool:
    """Tell whether a file is an input, under whatever name, or lies among the files of an input."""
    if not path.exists() or not source.exists():
        return False
    if source.is_dir():
        return path.resolve().parent == source.resolve() and not _bears(path, mark)
    return path.samefile(source)


def _bears(path: Path, mark: str) -> bool:
    """Tell whether a file carries a mark."""
    try:
        if path.name.endswith((".nii.gz", ".nii")):
            return _is_own_nifti(path, mark)
        return mark.encode() in path.read_bytes()
    except (OSError, ValueError):  # unreadable: nobody's that we know
        return False


def _is_own_nifti(path: Path, mark: str) -> bool:
    from ..data.formats import read_header, read_voxels

    header = read_header(path)
    return header.description == voxels_mark(mark, read_voxels(header, small=math.inf))
