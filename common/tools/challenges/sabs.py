"""SABS (BTCV, Synapse): abdominal CT with 13 organs in NIfTI."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from monai.data import MetaTensor
from monai.transforms import Orientation, SpatialCrop
from nibabel.orientations import aff2axcodes

from ...data.reading import read_label, read_scan
from .base import Case, Challenge, Findings, Volumes
from .files import by_name, nifti_files
from .preprocess import SIZE, remap, resample, resample_label, spacing_of
from .published import missing_subjects, published_folds

WINDOW = (-125.0, 275.0)  # HU
TRAINING = [*range(1, 11), *range(21, 41)]


def find(folder: Path) -> Findings:
    """Pair ``img0001`` with ``label0001``, wherever they lie; scans of the test set have no label map and stay."""
    files = nifti_files(folder)
    images, faults = by_name(files, r"img(\d{4})")
    labels, more = by_name(files, r"label(\d{4})")
    found = Findings(faults=faults + more)
    unlabelled = []
    for number in sorted(images):
        if int(number) not in TRAINING:
            unlabelled.append(number)
        elif number in labels:
            found.cases.append(Case(f"sabs_{number}", images[number], (labels[number],)))
        else:
            found.faults.append(f"{images[number]}: no label map label{number}; add it")
    orphans = sorted(labels.keys() - images.keys())
    found.faults += [f"{labels[number]}: no image img{number}; add it" for number in orphans]
    found.left_alone += [f"{len(unlabelled)} scans of the test set"] if unlabelled else []
    others = sum(1 for path in files if path.name.startswith("DET"))
    found.left_alone += [f"{others} files of Synapse's other scans, DET*_avg"] if others else []
    found.missing += missing_subjects([int(number) for number in {*images, *labels}], TRAINING)
    return found


def prepare(case: Case) -> Volumes:
    """Clip to the window, cut the border, and resample slices to 256 x 256 as published.

    Intensities stay HU: the bundles' configurations scale the window to 0..255, and scaling and linear resampling may
    be exchanged. The spacing and number of slices stay too.
    """
    image = read_scan(case.image)
    label = read_label(case.labels[0], image)
    label = remap(label, {value: value for value in CHALLENGE.labels.values() if value}, CHALLENGE.title)
    if aff2axcodes(image.affine.numpy())[2] not in "SI":
        turn = Orientation(axcodes="LAS", labels=None)
        image, label = turn(image), turn(label)
    image, label = _cut_border(image.clamp(*WINDOW)), _cut_border(label)
    columns, rows, _ = spacing_of(image)
    spacing = (columns * image.shape[1] / SIZE, rows * image.shape[2] / SIZE, None)
    # ITK's size is 257; the released loader takes the first 256.
    first = SpatialCrop(roi_start=(0, 0, 0), roi_end=(SIZE, SIZE, image.shape[3]))
    return Volumes(first(resample(image, spacing, fill=WINDOW[0])), first(resample_label(label, spacing)))


def _cut_border(volume: MetaTensor) -> MetaTensor:
    """Cut 32 of 512 pixels from each side of a slice, and as much of slices of another size."""
    columns, rows, slices = volume.shape[1:]
    start = (columns // 16, rows // 16, 0)
    cut: MetaTensor = SpatialCrop(roi_start=start, roi_end=(columns - start[0], rows - start[1], slices))(volume)
    return cut


CHALLENGE = Challenge(
    name="sabs",
    title="SABS (BTCV)",
    layout="img0001.nii.gz and label0001.nii.gz",
    preparation="HU clipped to -125..275, border of 32 of 512 pixels cut, 256 x 256 pixels",
    version=1,
    modality="CT",
    labels={
        "background": 0,
        "spleen": 1,
        "right kidney": 2,
        "left kidney": 3,
        "gallbladder": 4,
        "oesophagus": 5,
        "liver": 6,
        "stomach": 7,
        "aorta": 8,
        "inferior vena cava": 9,
        "portal and splenic vein": 10,
        "pancreas": 11,
        "right adrenal gland": 12,
        "left adrenal gland": 13,
    },  # fmt: skip
    find=find,
    prepare=prepare,
    folds=partial(published_folds, "sabs"),
    required=("liver",),
    reference="Landman et al. 2015, doi:10.7303/syn3193805",
    licence="see the challenge's terms",
)
