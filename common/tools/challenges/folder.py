"""Any folder: NIfTI files and DICOM series of your own, with or without label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...data.clipped import CLIPPED
from ...data.datalists import NoScanError, label_names, load_datalist
from ...data.folds import FOLDS, Fold, make_folds
from ...data.reading import read_label, read_scan
from .base import Case, Challenge, Findings, Volumes
from .preprocess import as_stored


def find(folder: Path, channel: int | str | None = None, allow_outside: bool = False) -> Findings:
    """List a dataset folder as training does, see ``load_datalist``; damaged scans are found when they are read.

    Raises:
        FileNotFoundError: a file is missing that ``dataset.json`` lists.
        InputError: as for ``load_datalist``.
    """
    try:
        items = load_datalist(folder, channel=channel, allow_outside=allow_outside, look_into=False)
    except NoScanError:
        return Findings()
    cases = [Case(i["subject"], Path(i["image"]), (Path(i["label"]),) if "label" in i else ()) for i in items]
    unlabelled = [case.subject for case in cases if not case.labels]
    missing = [f"label maps of {', '.join(unlabelled)}"] if 0 < len(unlabelled) < len(cases) else []
    return Findings(cases, missing, labels=label_names(folder))


def prepare(case: Case) -> Volumes:
    """Read image and label map; grid and intensities stay as they are, the bundles resample when they load."""
    image = read_scan(case.image)
    label = read_label(case.labels[0], image) if case.labels else None
    return Volumes(as_stored(image), label, image.meta.get(CLIPPED))


def folds(subjects: Sequence[str]) -> list[Fold]:
    """Five folds as for any dataset; none of fewer than five subjects."""
    return [make_folds(subjects, fold) for fold in range(FOLDS)] if len(subjects) >= FOLDS else []


CHALLENGE = Challenge(
    name="folder",
    title="Scans of your own",
    layout="scans or folders of DICOM series",
    preparation="intensities and grid of the scan",
    version=1,
    modality="",
    labels={},
    find=find,
    prepare=prepare,
    folds=folds,
    strict=False,
)
