"""Dataset folders for tests."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest


def write_scan(path: Path, shape: tuple[int, ...] = (4, 4, 2)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), path)
    return str(path)


def describe(folder: Path, **entries) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(entries))
    return folder


def subjects_of(datalist) -> list[str]:
    return [item["subject"] for item in datalist]


def one_line(info: pytest.ExceptionInfo[BaseException]) -> bool:
    return "\n" not in str(info.value)


def write_channels(folder: Path, subjects: dict[str, list[str]], ending: str = ".nii.gz") -> None:
    for subject, numbers in subjects.items():
        for number in numbers:
            write_scan(folder / "imagesTr" / f"{subject}_{number}{ending}")
        write_scan(folder / "labelsTr" / f"{subject}{ending}")
