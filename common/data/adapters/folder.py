"""Any folder: NIfTI files and DICOM series of your own, with or without label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..datalists import label_names, load_datalist, natural_key
from ..folds import FOLDS, Fold, make_folds
from ..series import holds_series
from .base import Case, Challenge, Findings, Volumes
from .preprocess import as_stored
from .read import nifti_files, read_image, read_label, stem


def find(folder: Path) -> Findings:
    """List a dataset folder as the bundles do; where there is none, all NIfTI files and series at any depth."""
    try:
        items = load_datalist(folder)
    except FileNotFoundError:
        return Findings([Case(name, path) for name, path in _scans_below(folder)])
    cases = [Case(i["subject"], Path(i["image"]), (Path(i["label"]),) if "label" in i else ()) for i in items]
    unlabelled = [case.subject for case in cases if not case.labels]
    missing = [f"label maps of {', '.join(unlabelled)}"] if 0 < len(unlabelled) < len(cases) else []
    return Findings(cases, missing, labels=label_names(folder))


def prepare(case: Case) -> Volumes:
    """Read image and label map; grid and intensities stay as they are, the bundles resample when they load."""
    image = read_image(case.image)
    return Volumes(as_stored(image), read_label(case.labels[0], image) if case.labels else None)


def folds(subjects: Sequence[str]) -> list[Fold]:
    """Five folds as for any dataset; none of fewer than five subjects."""
    return [make_folds(subjects, fold) for fold in range(FOLDS)] if len(subjects) >= FOLDS else []


def _scans_below(folder: Path) -> list[tuple[str, Path]]:
    """Name and path of each scan; the name is the path below the folder, joined by underscores."""
    series = [path for path in sorted(folder.rglob("*")) if path.is_dir() and holds_series(path)]
    scans = [(path.parent / stem(path), path) for path in nifti_files(folder)] + [(path, path) for path in series]
    named = [("_".join(name.relative_to(folder).parts).replace(" ", "_"), path) for name, path in scans]
    return sorted(named, key=lambda scan: natural_key(scan[0]))


CHALLENGE = Challenge(
    name="folder",
    title="Scans of your own",
    layout="NIfTI files or folders of DICOM series",
    preparation="intensities and grid of the scan",
    version=1,
    modality="",
    labels={},
    find=find,
    prepare=prepare,
    folds=folds,
    strict=False,
)
