"""Datalists: which scans a dataset folder holds, as the list of dictionaries that MONAI's transforms start from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from .. import monai_label
from ..errors import InputError
from .phantom import make_phantom
from .reading import scan_shape
from .series import holds_series

Item: TypeAlias = dict[str, str]
SubjectId: TypeAlias = "int | str"

_NIFTI = (".nii.gz", ".nii")
_IMAGE_FOLDERS = ("imagesTr", "images", "")
_LABEL_FOLDERS = ("labelsTr", "labels")


def load_datalist(dataset_dir: str | Path, require_labels: bool = False, section: str = "training") -> list[Item]:
    """List a dataset's scans, sorted naturally by subject.

    Args:
        dataset_dir: `"phantom"` (built in; in a MONAI Label server its studies instead), a folder with an MSD
            `dataset.json`, or a folder of scans, NIfTI files or folders with one DICOM series each: images in
            `imagesTr/`, `images/` or the folder itself, NIfTI labels of the same name in `labelsTr/` or `labels/`.
        require_labels: refuse scans without a label.
        section: list of `dataset.json` to read, "training" or "test".

    Returns:
        Items `{"image": path, "label": path (where there is one), "subject": name}`; the subject is the name of
        the file without extension, or of the series' folder, without the channel suffix `_0000`.

    Raises:
        FileNotFoundError: the folder, an image or a listed label is missing, or there is no scan.
        InputError: a file is no readable NIfTI, shapes of image and label differ, a label is required and missing, or
            two scans have the same subject name.
    """
    store = monai_label.datastore()
    if store is not None and dataset_dir == "phantom":
        return monai_label.training_items(store)
    folder = _dataset_folder(dataset_dir)
    description = _read_description(folder)
    items = _scan_folder(folder) if description is None else _listed(folder, description, section)
    if not items:
        raise FileNotFoundError(
            f"{folder} holds no scan: expected dataset.json, or NIfTI files or folders of DICOM series "
            "in imagesTr/ or images/"
        )
    items.sort(key=lambda item: natural_key(item["subject"]))
    for previous, item in zip(items, items[1:], strict=False):
        if previous["subject"] == item["subject"]:
            raise InputError(f"{item['image']} and {previous['image']} are both subject {item['subject']}: rename one")
    for item in items:
        _check(item, require_labels)
    return items


def label_names(dataset_dir: str | Path) -> dict[str, int]:
    """Read label names and values from `dataset.json`, written either way round; empty where there is none.

    Args:
        dataset_dir: as for `load_datalist`.

    Returns:
        Name to value in the order of the values, background included where the file lists it.

    Raises:
        FileNotFoundError: the folder is missing.
        InputError: `dataset.json` is not valid, or a label value is not an integer.
    """
    folder = _dataset_folder(dataset_dir)
    labels = (_read_description(folder) or {}).get("labels", {})
    value_first = bool(labels) and all(str(key).isdigit() for key in labels)
    pairs = {name: value for value, name in labels.items()} if value_first else labels
    try:
        return dict(sorted(((name, int(value)) for name, value in pairs.items()), key=lambda pair: pair[1]))
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder / 'dataset.json'}: label values must be integers, found {labels}") from error


def select_subjects(datalist: Sequence[Item], subjects: Iterable[SubjectId] | SubjectId) -> list[Item]:
    """Items of the given subjects, in the order asked for.

    Args:
        datalist: items with "subject".
        subjects: names or trailing numbers: `"chaos_08"`, `"8"` and `8` are the same subject.

    Raises:
        InputError: an id is unknown or fits several subjects.
    """
    wanted: Iterable[SubjectId] = [subjects] if isinstance(subjects, int | str) else subjects
    return list({item["subject"]: item for item in (_find(datalist, subject) for subject in wanted)}.values())


def exclude_subjects(datalist: Sequence[Item], subjects: Iterable[SubjectId] | SubjectId) -> list[Item]:
    """Items of all other subjects, in the datalist's order; arguments and errors as for `select_subjects`."""
    excluded = {item["subject"] for item in select_subjects(datalist, subjects)}
    return [item for item in datalist if item["subject"] not in excluded]


def natural_key(subject: SubjectId) -> list[tuple[int, str]]:
    """Sorting key that puts `a2` before `a10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(subject)) if part]


def _find(datalist: Sequence[Item], subject: SubjectId) -> Item:
    named = [item for item in datalist if item["subject"] == str(subject)]
    if not named and str(subject).isdecimal():
        named = [item for item in datalist if _trailing_number(item["subject"]) == int(subject)]
    if len(named) == 1:
        return named[0]
    found = "fits several subjects" if named else "is unknown"
    available = ", ".join(item["subject"] for item in named or datalist)
    raise InputError(f"subject {subject!r} {found}; available: {available}")


def _trailing_number(subject: str) -> int | None:
    match = re.search(r"\d+$", subject)
    return int(match.group()) if match else None


def _dataset_folder(dataset_dir: str | Path) -> Path:
    if str(dataset_dir) == "phantom":
        return make_phantom()
    folder = Path(dataset_dir).expanduser().absolute()
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder} is not a folder: set dataset_dir to a dataset folder or to "phantom"')
    return folder


def _read_description(folder: Path) -> dict[str, Any] | None:
    path = folder / "dataset.json"
    if not path.exists():
        return None
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not valid JSON ({error}): correct or remove it") from error
    if not isinstance(description, dict) or not isinstance(description.get("labels", {}), dict):
        raise InputError(f'{path} is not an MSD description: expected {{"labels": {{...}}, "training": [...]}}')
    return description


def _listed(folder: Path, description: dict[str, Any], section: str) -> list[Item]:
    entries = description.get(section)
    if not entries:
        filled = [key for key in ("training", "test") if description.get(key)]
        raise FileNotFoundError(f"{folder / 'dataset.json'} has no scan under {section!r}, only under {filled}")
    items = []
    for entry in entries:
        paths = {"image": entry} if isinstance(entry, str) else entry
        if not isinstance(paths, dict) or not isinstance(paths.get("image"), str):
            raise InputError(
                f"{folder / 'dataset.json'}: {section} entry {entry!r} must be a path or "
                '{"image": path, "label": path}'
            )
        item = {key: str(folder / paths[key]) for key in ("image", "label") if paths.get(key)}
        items.append(item | {"subject": _subject_name(Path(item["image"]))})
    return items


def _scan_folder(folder: Path) -> list[Item]:
    images = next((found for name in _IMAGE_FOLDERS if (found := _scans(folder / name))), [])
    labels = next((found for name in _LABEL_FOLDERS if (found := _nifti_files(folder / name))), [])
    label_of = {_subject_name(path): str(path) for path in labels}
    items = []
    for path in images:
        subject = _subject_name(path)
        label = {"label": label_of[subject]} if subject in label_of else {}
        items.append({"image": str(path), **label, "subject": subject})
    return items


def _scans(folder: Path) -> list[Path]:
    return _nifti_files(folder) + [path for path in sorted(folder.glob("*")) if holds_series(path)]


def _nifti_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if path.name.endswith(_NIFTI) and not path.name.startswith(".")]


def _subject_name(path: Path) -> str:
    name = path.name
    if path.is_dir():
        return name.removesuffix("_0000")
    for extension in _NIFTI:
        name = name.removesuffix(extension)
    return (name if name != path.name else path.stem).removesuffix("_0000")


def _check(item: Item, require_labels: bool) -> None:
    if require_labels and "label" not in item:
        raise InputError(f"{item['image']} has no label: add labelsTr/ or labels/ with a file of the same name")
    shapes = {item[key]: _shape(Path(item[key])) for key in ("image", "label") if key in item}
    if len({shape[:3] for shape in shapes.values() if shape is not None}) > 1:
        raise InputError(f"{item['label']} has another grid than its image: shapes {shapes}; resample it")


def _shape(path: Path) -> tuple[int, ...] | None:
    """Shape in the header of a file; None for the folder of a series, of which only the existence is checked."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: restore the file or remove it from the dataset")
    return scan_shape(path)
