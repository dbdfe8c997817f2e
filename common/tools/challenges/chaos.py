"""CHAOS: abdominal MR, T2-SPIR; DICOM series with the organs as PNG stacks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from ...data.datalists import natural_key
from ...data.dicom.series import check_series
from ...data.folds import PUBLISHED_SUBJECTS
from ...data.reading import read_scan
from ...errors import InputError, one_line
from .base import Case, Challenge, Findings, Volumes
from .preprocess import prepare_mr
from .published import missing_subjects, published_folds

SPACING = (1.25, 1.25, 7.7)
# Grey values from, to (CHAOS names ranges; its files hold 63, 126, 189 and 252) and the value that replaces them.
GREYS = ((55, 70, 1), (110, 135, 2), (175, 200, 3), (240, 255, 4))


def find(folder: Path) -> Findings:
    """List ``MR/<id>/T2SPIR`` with its ``DICOM_anon`` and ``Ground``, at any depth; T1-DUAL series are left alone."""
    found = Findings()
    places: dict[int, Path] = {}
    unlabelled = 0
    for series in sorted(folder.rglob("T2SPIR"), key=lambda path: natural_key(str(path))):
        if not series.is_dir() or not series.parent.name.isdecimal():
            continue
        number = int(series.parent.name)
        has_labels = (series / "Ground").is_dir()
        if not has_labels and number not in PUBLISHED_SUBJECTS["chaos"]:
            unlabelled += 1
        elif number in places:
            found.faults.append(f"{series}: subject {number} is there twice, also in {places[number]}; move one away")
        elif not has_labels or not (series / "DICOM_anon").is_dir():
            lost = "DICOM_anon" if has_labels else "Ground"
            found.faults.append(f"{series}: no folder {lost}; unpack the download again")
            places[number] = series
        else:
            found.cases.append(Case(f"chaos_{number:02d}", series / "DICOM_anon", (series / "Ground",)))
            places[number] = series
    dual = sum(1 for path in folder.rglob("T1DUAL") if path.is_dir())
    found.left_alone += [f"{dual} T1DUAL series"] if dual else []
    found.left_alone += [f"{unlabelled} T2SPIR series of the test set, without Ground"] if unlabelled else []
    found.missing += missing_subjects(places, PUBLISHED_SUBJECTS["chaos"])
    return found


def prepare(case: Case) -> Volumes:
    """Stack the PNG files by the DICOM slices, store both as Left, Anterior, Superior, and preprocess as published.

    Raises:
        InputError: the series or a PNG file is damaged, missing or superfluous, or has an unknown grey value.
    """
    files = [item.path for item in check_series(case.image)]
    image = read_scan(case.image)
    slices = [_organs(path, image) for path in _pair(files, case.labels[0])]
    label = MetaTensor(torch.from_numpy(np.stack(slices, axis=-1)[None]).float(), affine=image.affine)
    turn = Orientation(axcodes="LAS", labels=None)  # as dcm2nii stores axial slices; resampling starts at voxel 0
    return prepare_mr(turn(image), turn(label), SPACING)


def _pair(slices: Sequence[Path], ground: Path) -> list[Path]:
    """PNG file of each slice: the one of the same name; by the order of the names where no name agrees."""
    files = [path for path in ground.iterdir() if path.suffix.lower() == ".png" and not path.name.startswith(".")]
    of_name = {path.stem: path for path in files}
    names = [path.stem for path in slices]
    if not set(names) & set(of_name) and len(files) == len(slices):
        files.sort(key=lambda path: natural_key(path.stem))
        ordered = dict(zip(sorted(names, key=natural_key), files, strict=True))
        return [ordered[name] for name in names]
    without = [name for name in names if name not in of_name]
    if without:
        raise InputError(f"{ground}: no PNG for slice {without[0]} ({len(files)} for {len(names)} slices); restore it")
    extra = sorted(set(of_name) - set(names))
    if extra:
        raise InputError(
            f"{ground / extra[0]}.png: no slice of this name ({len(names)} for {len(files)} PNG files); restore it"
        )
    return [of_name[name] for name in names]


def _organs(path: Path, image: MetaTensor) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path}: no readable PNG file ({one_line(error)}); copy it again") from error
    columns, rows = image.shape[1:3]
    if grey.shape != (rows, columns):
        raise InputError(f"{path}: {grey.shape} pixels, its slice has {(rows, columns)}; is it that of another scan?")
    organs = np.zeros(grey.shape, np.uint8)
    for low, high, value in GREYS:
        organs[(grey >= low) & (grey <= high)] = value
    unknown = np.unique(grey[(organs == 0) & (grey != 0)])
    if len(unknown):
        raise InputError(f"{path}: grey value {unknown[0]} found; CHAOS has 63, 126, 189 and 252 on 0")
    return organs.T


CHALLENGE = Challenge(
    name="chaos",
    title="CHAOS T2-SPIR",
    layout="MR/<id>/T2SPIR/DICOM_anon and Ground",
    preparation="top 0.5 % clipped, 1.25 x 1.25 x 7.7 mm, 256 x 256 pixels",
    version=2,
    modality="MRI",
    labels={"background": 0, "liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4},
    find=find,
    prepare=prepare,
    folds=partial(published_folds, "chaos"),
    required=("liver", "right kidney", "left kidney", "spleen"),
    smallest_fit=0.42,  # 48 to 71 % on the 20 scans; 378 of 380 pairs of a scan with another's label map have less
    reference="Kavur et al. 2021, doi:10.1016/j.media.2020.101950",
    licence="CC BY-NC-SA 4.0",
)
