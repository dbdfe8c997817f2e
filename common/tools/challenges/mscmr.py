"""MS-CMRSeg: cardiac MR, bSSFP, as short-axis stacks in NIfTI."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ...data.folds import PUBLISHED_SUBJECTS
from ...data.reading import read_label, read_scan
from ...transforms.geometry import SliceAxisd
from .base import Case, Challenge, Findings, Volumes
from .files import by_name, nifti_files
from .preprocess import prepare_mr, remap
from .published import missing_subjects, published_folds

SPACING = (1.25, 1.25, 7.99)  # neither paper prints it; later code on the same data does
VALUES = {200: 1, 500: 2, 600: 3}


def find(folder: Path) -> Findings:
    """Pair ``patient<id>_C0`` with ``patient<id>_C0_manual``, wherever they lie; other sequences stay."""
    files = nifti_files(folder)
    images, faults = by_name(files, r"patient(\d+)_C0")
    labels, more = by_name(files, r"patient(\d+)_C0_manual")
    found = Findings(faults=faults + more)
    published = {str(number) for number in PUBLISHED_SUBJECTS["mscmr"]}
    for number in sorted(images, key=int):
        if number in labels:
            found.cases.append(Case(f"mscmr_{int(number):02d}", images[number], (labels[number],)))
        elif number in published:
            found.faults.append(f"{images[number]}: no label map patient{number}_C0_manual; add it")
        else:
            found.left_alone.append(f"{images[number].name}, without label map")
    found.faults += [
        f"{labels[number]}: no image patient{number}_C0; add it" for number in labels.keys() - images.keys()
    ]
    others = sum(1 for path in files if "_T2" in path.name or "_LGE" in path.name)
    found.left_alone += [f"{others} files of T2 and LGE"] if others else []
    found.missing += missing_subjects([int(number) for number in {*images, *labels}], PUBLISHED_SUBJECTS["mscmr"])
    return found


def prepare(case: Case) -> Volumes:
    """Preprocess as published, slices along the axis with the largest spacing."""
    image = read_scan(case.image)
    label = remap(read_label(case.labels[0], image), VALUES, CHALLENGE.title)
    stack = SliceAxisd(["image", "label"])({"image": image, "label": label})
    return prepare_mr(stack["image"], stack["label"], SPACING)


CHALLENGE = Challenge(
    name="mscmr",
    title="MS-CMRSeg bSSFP",
    layout="patient<id>_C0.nii.gz and patient<id>_C0_manual.nii.gz",
    preparation="top 0.5 % clipped, 1.25 x 1.25 x 7.99 mm, 256 x 256 pixels",
    version=2,
    modality="MRI",
    labels={"background": 0, "LV-MYO": 1, "LV-BP": 2, "RV": 3},  # left myocardium and blood pool, right ventricle
    find=find,
    prepare=prepare,
    folds=partial(published_folds, "mscmr"),
    required=("LV-MYO", "LV-BP", "RV"),
    reference="Zhuang 2019, doi:10.1109/TPAMI.2018.2869576",
    licence="see the challenge's terms",
)
