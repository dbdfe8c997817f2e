"""VISCERAL Anatomy: contrast-enhanced CT of trunk and abdomen in NIfTI, one file for each organ, named by RadLex id."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.data import MetaTensor

from ...data.folds import VISCERAL_GOLD, VISCERAL_SUPPORT, Fold
from ...data.reading import read_label, read_scan, stem
from ...errors import InputError
from .base import Case, Challenge, Findings, Volumes
from .checks import to_the_right
from .files import by_name, nifti_files
from .preprocess import as_stored

# RadLex id to organ. Lists of these ids in public code disagree about the sides, so the scan decides, see _sides.
ORGANS = {
    58: "liver", 86: "spleen", 29662: "right kidney", 29663: "left kidney", 32248: "right psoas", 32249: "left psoas",
    170: "pancreas", 187: "gallbladder", 237: "urinary bladder", 480: "aorta", 1247: "trachea", 1302: "right lung",
    1326: "left lung", 2473: "sternum", 7578: "thyroid", 29193: "first lumbar vertebra", 30324: "right adrenal gland",
    30325: "left adrenal gland", 40357: "right rectus abdominis", 40358: "left rectus abdominis",
}  # fmt: skip
LABELS = {"background": 0, **{organ: value for value, organ in enumerate(ORGANS.values(), start=1)}}
SILVER_SCANS, GOLD_SCANS = 65, 20

_SCAN = r"(\d+_\d+_CTce_[A-Za-z]+)"
_ORGAN = _SCAN + r"_(\d+)(?:_\w*)?"


def find(folder: Path) -> Findings:
    """Pair ``<patient>_<n>_CTce_ThAb`` with ``<patient>_<n>_CTce_ThAb_<RadLex id>_<annotator>``, wherever they lie."""
    files = nifti_files(folder)
    images, faults = by_name(files, _SCAN)
    found = Findings(faults=faults)
    segmentations: dict[str, dict[int, Path]] = {}
    for path in files:
        match = re.fullmatch(_ORGAN, stem(path))
        if match is None:
            continue
        organs = segmentations.setdefault(match[1], {})
        if int(match[2]) not in ORGANS:
            found.left_alone.append(f"{path.name}: RadLex id {match[2]} is no organ of the challenge")
        elif int(match[2]) in organs:
            found.left_alone.append(f"{path.name}: second annotation, {organs[int(match[2])].name} is taken")
        else:
            organs[int(match[2])] = path
    unlabelled = sorted(set(images) - set(segmentations))
    for scan, organs in sorted(segmentations.items()):
        if scan in images:
            found.cases.append(
                Case(f"visceral_{scan.split('_')[0]}", images[scan], tuple(organs[i] for i in sorted(organs)))
            )
        else:
            found.faults.append(f"{next(iter(organs.values()))}: no image {scan}.nii.gz; add it")
    others = sum(1 for path in files if re.match(r"\d+_\d+_(CT|MRT\w+)_", path.name))
    found.left_alone += [f"{others} files of other modalities than CTce"] if others else []
    found.left_alone += [f"{len(unlabelled)} scans without segmentations"] if unlabelled else []
    gold = sum(1 for case in found.cases if _number(case.subject) in VISCERAL_GOLD)
    for corpus, count, wanted in (("gold", gold, GOLD_SCANS), ("silver", len(found.cases) - gold, SILVER_SCANS)):
        found.missing += [f"{wanted - count} of {wanted} {corpus} scans"] if count < wanted else []
    return found


def prepare(case: Case) -> Volumes:
    """Merge the organs into one label map; intensities in HU and grid stay as they are.

    Raises:
        InputError: a file is damaged or lies on another grid, or sides contradict each other.
    """
    image = read_scan(case.image)
    label = torch.zeros_like(image)
    for path in case.labels:
        radlex = int(re.sub(_ORGAN, r"\2", stem(path)))
        label[read_label(path, image) > 0] = LABELS[ORGANS[radlex]]
    return Volumes(as_stored(image), _sides(label, case))


def folds(subjects: Sequence[str]) -> list[Fold]:
    """One fold: 19 gold scans as queries, one as support, silver for training; none where the support is missing."""
    gold = [subject for subject in subjects if _number(subject) in VISCERAL_GOLD]
    queries = [subject for subject in gold if _number(subject) != VISCERAL_SUPPORT]
    support = [subject for subject in gold if _number(subject) == VISCERAL_SUPPORT]
    return [Fold(queries, support[0])] if support and queries else []


def _sides(label: MetaTensor, case: Case) -> MetaTensor:
    """Give each organ of a pair the name of the side it lies on."""
    right_of = {name: "left " + name[6:] for name in LABELS if name.startswith("right ")}
    swapped: dict[str, bool] = {}
    for right, left in right_of.items():
        masks = [label == LABELS[name] for name in (right, left)]
        if all(bool(mask.any()) for mask in masks):
            swapped[right[6:]] = to_the_right(masks[0]) < to_the_right(masks[1])
    if len(set(swapped.values())) > 1:
        against = ", ".join(name for name, turned in swapped.items() if turned)
        raise InputError(f"{case.labels[0].parent}: {case.subject}: sides of {against} contradict those of the others")
    if not any(swapped.values()):
        return label
    result = label.clone()
    for right, left in right_of.items():
        result[label == LABELS[right]], result[label == LABELS[left]] = LABELS[left], LABELS[right]
    return result


def _number(subject: str) -> int:
    return int(subject.removeprefix("visceral_"))


CHALLENGE = Challenge(
    name="visceral",
    title="VISCERAL Anatomy",
    layout="<patient>_1_CTce_ThAb.nii.gz and <patient>_1_CTce_ThAb_<RadLex id>_<annotator>.nii.gz",
    preparation="HU on the scan's own grid, one label map",
    version=1,
    modality="CT",
    labels=LABELS,
    find=find,
    prepare=prepare,
    folds=folds,
    reference="Jimenez-del-Toro et al. 2016, doi:10.1109/TMI.2016.2578680",
    licence="see the challenge's terms",
)
