"""What an adapter is: a challenge, the scans found in its download, and the volumes made of one scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai.data import MetaTensor

from ...data.folds import Fold


@dataclass(frozen=True)
class Case:
    """One scan of a download.

    Attributes:
        subject: name in the output, such as ``chaos_01``.
        image: NIfTI file, or folder of one DICOM series.
        labels: what its label map is made of: one file, one folder or one file for each organ; empty without labels.
    """

    subject: str
    image: Path
    labels: tuple[Path, ...] = ()


@dataclass
class Findings:
    """What a download holds.

    Attributes:
        cases: scans to prepare.
        missing: one line for each thing that the challenge has and the download has not.
        left_alone: one line for each thing that was recognised and is not needed.
        faults: one line for each scan that cannot be prepared.
        labels: organ names and values where the download itself names them.
    """

    cases: list[Case] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    labels: dict[str, int] | None = None


@dataclass(frozen=True)
class Volumes:
    """Prepared image ``(1, X, Y, Z)`` and label map of the same grid, None where there is none.

    ``clipped`` is the percentile of the scan above which its voxels were clipped.
    """

    image: MetaTensor
    label: MetaTensor | None = None
    clipped: float | None = None


@dataclass(frozen=True)
class Challenge:
    """One dataset: how its download looks, what its labels mean, and how one scan of it is prepared.

    Attributes:
        name: on the command line.
        title: for people.
        layout: the files that make the download recognisable.
        preparation: what is done to a scan, for dataset.json.
        version: raised when the same input would give other output.
        modality: "MRI" or "CT".
        labels: organ names and their values in the output.
        find: lists the scans below a folder.
        prepare: makes the volumes of one scan.
        folds: cuts the subjects into folds; none where subjects are missing.
        required: organs that every label map must hold.
        smallest_fit: smallest share of the image's variance that the label map must explain (``checks.fit``).
        strict: implausible organs are faults; warnings otherwise.
        reference: how to cite it.
        licence: of the download.
    """

    name: str
    title: str
    layout: str
    preparation: str
    version: int
    modality: str
    labels: dict[str, int]
    find: Callable[[Path], Findings]
    prepare: Callable[[Case], Volumes]
    folds: Callable[[Sequence[str]], list[Fold]]
    required: tuple[str, ...] = ()
    smallest_fit: float | None = None
    strict: bool = True
    reference: str = ""
    licence: str = ""
