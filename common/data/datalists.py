"""Datalists: which scans a dataset folder holds, as the list of dictionaries that MONAI's transforms start from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from ..errors import InputError
from ..files.literals import as_named
from .description import channel_names, label_values, read_description
from .layouts import choose_channel, find_subjects
from .monai_label import server as monai_label
from .phantom import make_phantom
from .reading import scan_shape

Item: TypeAlias = dict[str, str]
SubjectId: TypeAlias = "int | str"


class NoScanError(FileNotFoundError):
    """A folder holds no scan in any layout."""


def load_datalist(
    dataset_dir: str | Path,
    require_labels: bool = False,
    section: str = "training",
    channel: int | str | None = None,
    allow_outside: bool = False,
    look_into: bool = True,
) -> list[Item]:
    """List a dataset's scans, sorted naturally by subject.

    Scans are files in one of the formats of ``formats.EXTENSIONS`` or folders with one DICOM series each. With a
    ``dataset.json`` (Medical Segmentation Decathlon, nnU-Net 1 and 2) they are those that it stands for. Otherwise they
    lie in ``imagesTr/``, ``images/``, the folder itself or, where all of these are empty, in folders below; label maps
    lie in ``labelsTr/``, ``labels/`` or ``masks/`` or beside their scans, called like them but for words such as "img"
    and "seg".

    Args:
        dataset_dir: ``"phantom"`` (built in; in a MONAI Label server its studies instead), or a folder.
        require_labels: refuse scans without a label.
        section: "training", or "test": ``imagesTs/`` or that list of ``dataset.json``.
        channel: number or name of the channel to take, where subjects have several (``case_0000``, ``case_0001``).
        allow_outside: ``dataset.json`` may name files outside of the folder.
        look_into: check headers and shapes; otherwise what is damaged is found when it is read.

    Returns:
        Items ``{"image": path, "label": path (where there is one), "subject": name}``; the subject is the name of
        the file without extension, or of the series' folder, without the number of its channel.

    Raises:
        FileNotFoundError: the folder, an image or a listed label is missing.
        NoScanError: there is no scan.
        InputError: ``dataset.json`` is malformed or reaches outside; a file cannot be told to be a scan or a label map
            of one subject; several channels and none chosen; a file is no readable NIfTI; shapes of image and label
            differ; a label is required and missing; or two scans have the same subject name.
    """
    store = monai_label.datastore()
    if store is not None and str(dataset_dir) == "phantom":
        return monai_label.training_items(store)
    folder = _dataset_folder(dataset_dir)
    subjects = find_subjects(folder, section, allow_outside)
    if not subjects:
        raise NoScanError(
            f"{folder} holds no scan: expected dataset.json, or scans or folders of DICOM series, best in imagesTr/"
        )
    subjects.sort(key=lambda subject: natural_key(subject.name))
    for first, second in zip(subjects, subjects[1:], strict=False):
        if first.name == second.name:
            paths = " and ".join(str(next(iter(subject.channels.values()))) for subject in (second, first))
            raise InputError(f"{paths} are both subject {first.name}: rename one")
    chosen = choose_channel(folder, subjects, channel, channel_names(read_description(folder) or {}))
    items = [
        {"image": str(chosen[s.name]), **({} if s.label is None else {"label": str(s.label)}), "subject": s.name}
        for s in subjects
    ]
    for item in items:
        if require_labels and "label" not in item:
            raise InputError(f"{item['image']} has no label: add labelsTr/ or labels/ with a file of the same name")
        if look_into:
            _check_shapes(item)
    return items


def label_names(dataset_dir: str | Path) -> dict[str, int]:
    """Read label names and values from ``dataset.json``, written either way round; empty where there is none.

    Args:
        dataset_dir: as for ``load_datalist``.

    Returns:
        Name to value in the order of the values, background included where the file lists it.

    Raises:
        FileNotFoundError: the folder is missing.
        InputError: ``dataset.json`` is not valid, or a label value is not an integer.
    """
    folder = _dataset_folder(dataset_dir)
    return label_values(folder, read_description(folder) or {})


def select_subjects(datalist: Sequence[Item], subjects: Iterable[SubjectId] | SubjectId) -> list[Item]:
    """Items of the given subjects, in the order asked for.

    Args:
        datalist: items with "subject".
        subjects: names or trailing numbers: ``"chaos_08"``, ``"8"`` and ``8`` are the same subject.

    Raises:
        InputError: an id is unknown or fits several subjects.
    """
    wanted: Iterable[SubjectId] = [subjects] if isinstance(subjects, int | str) else subjects
    return list({item["subject"]: item for item in (_find(datalist, subject) for subject in wanted)}.values())


def exclude_subjects(datalist: Sequence[Item], subjects: Iterable[SubjectId] | SubjectId) -> list[Item]:
    """Items of all other subjects, in the datalist's order; arguments and errors as for ``select_subjects``."""
    excluded = {item["subject"] for item in select_subjects(datalist, subjects)}
    return [item for item in datalist if item["subject"] not in excluded]


def natural_key(subject: SubjectId) -> list[tuple[int, str]]:
    """Sorting key that puts ``a2`` before ``a10``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(subject)) if part]


def _find(datalist: Sequence[Item], subject: SubjectId) -> Item:
    named = [item for item in datalist if item["subject"] == str(subject)]
    if not named and str(subject).isdecimal():
        ends = re.compile(rf"(.*\D)?0*{int(subject)}")
        named = [item for item in datalist if ends.fullmatch(item["subject"])]
    if len(named) == 1:
        return named[0]
    found = "fits several subjects" if named else "is unknown"
    available = ", ".join(item["subject"] for item in named or datalist)
    raise InputError(f"subject {subject!r} {found}; available: {available}")


def _dataset_folder(dataset_dir: str | Path) -> Path:
    if str(dataset_dir) == "phantom":
        return make_phantom()
    if not str(dataset_dir):
        raise InputError('dataset_dir is empty: set it to a dataset folder or to "phantom"')
    folder = Path(as_named(dataset_dir)).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is not a folder: set dataset_dir to a dataset folder or to "phantom"')
    return folder


def _check_shapes(item: Item) -> None:
    """Check that a label map can be of its scan; ``read_label`` gives it the scan's axes."""
    shapes = {item[key]: scan_shape(item[key]) for key in ("image", "label") if key in item}
    if len({tuple(sorted(shape)) for shape in shapes.values() if shape is not None}) > 1:
        raise InputError(f"{item['label']} has another grid than its image: shapes {shapes}; resample it")
