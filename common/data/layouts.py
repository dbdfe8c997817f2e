"""The scans of a dataset folder and their label maps, in each layout that people use."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError
from .description import FILE, file_ending, is_nnunet2, listed_files, read_description
from .dicom.series import holds_series
from .names import belongs_to, cases, is_confidence_name, is_label_name, is_volume, scans, volumes
from .reading import stem

logger = logging.getLogger(__name__)

_FOLDERS = {
    "training": (("imagesTr", "labelsTr"), ("images", "labels"), ("", "labels"), ("imagesTs", "labelsTs")),
    "test": (("imagesTs", "labelsTs"),),
}
_LABEL_FOLDERS = ("labelsTr", "labels", "masks")


@dataclass
class Subject:
    """A subject of a dataset: its scan, or its channels by their four digits, and its label map."""

    name: str
    channels: dict[str, Path] = field(default_factory=dict)
    label: Path | None = None


def find_subjects(folder: Path, section: str = "training", allow_outside: bool = False) -> list[Subject]:
    """List the subjects that a dataset's ``dataset.json`` names, or those of its folders where it names none.

    Args:
        folder: of the dataset.
        section: "training" or "test".
        allow_outside: ``dataset.json`` may name files outside of the folder.

    Raises:
        FileNotFoundError: a listed file is missing, or ``dataset.json`` lists no scan in this section.
        InputError: ``dataset.json`` is malformed, or a file cannot be told to be scan or label map of one subject.
    """
    description = read_description(folder)
    if description is not None and ("training" in description or "test" in description or "dataset" in description):
        listed = listed_files(folder, description, section, allow_outside)
        if not listed:
            filled = [key for key in ("training", "test") if description.get(key)]
            raise FileNotFoundError(f"{folder / FILE} has no scan under {section!r}, only under {filled}")
        return _listed(listed)
    subjects = _in_folders(folder, section, description or {})
    expected = (description or {}).get("numTraining", len(subjects))
    if section == "training" and expected != len(subjects):
        raise InputError(
            f"{folder}: {len(subjects)} subjects, {FILE} says numTraining {expected}: restore the missing ones or "
            "correct the number"
        )
    return subjects


def choose_channel(
    folder: Path, subjects: Sequence[Subject], channel: int | str | None, named: Mapping[str, str]
) -> dict[str, Path]:
    """Give each subject's scan of one channel.

    Args:
        folder: of the dataset.
        subjects: as found.
        channel: number or name; None where there is only one.
        named: names of the channels by their four digits.

    Raises:
        InputError: there are several channels and none was chosen, or a subject lacks the chosen one.
    """
    found = sorted({number for subject in subjects for number in subject.channels})
    known = ", ".join(f"{int(number)} ({named[number]})" if number in named else str(int(number)) for number in found)
    if channel is None:
        if len(found) > 1:
            of = max(subjects, key=lambda subject: len(subject.channels))
            raise InputError(
                f"{folder}: {len(found)} channels of subjects such as {of.name}, {known}: choose one with "
                f"channel (--channel {int(found[-1])}); scans of different subjects must be renamed"
            )
        return {subject.name: next(iter(subject.channels.values())) for subject in subjects}
    numbers = [number for number, name in named.items() if name.lower() == str(channel).lower()]
    if len(numbers) > 1:
        raise InputError(f"{folder}: {len(numbers)} channels are called {channel!r}; choose by number, {known}")
    wanted = numbers[0] if numbers else str(channel).zfill(4) if channel != "" else ""
    lacking = [subject.name for subject in subjects if wanted not in subject.channels]
    if lacking:
        raise InputError(
            f"{folder}: no channel {channel!r} of {lacking[0]}{' and others' if len(lacking) > 1 else ''}; "
            f"channels are {known}"
        )
    return {subject.name: subject.channels[wanted] for subject in subjects}


def _listed(listed: Sequence[tuple[list[Path], Path | None]]) -> list[Subject]:
    """Subjects of a list; an image that is missing under its name may lie there as channels, as nnU-Net 1 has it."""
    single: list[tuple[Path, Path | None]] = []
    subjects: list[Subject] = []
    for images, label in listed:
        for path in [*images, *([] if label is None else [label])]:
            if not path.exists() and not (path in images and _channels_of(path)):
                raise FileNotFoundError(f"{path} is missing: restore the file or remove it from the dataset")
        if len(images) > 1:
            channels = {f"{number:04d}": path for number, path in enumerate(images)}
            subjects.append(Subject(stem(images[0]).removesuffix("_0000"), channels, label))
        elif images[0].exists():
            single.append((images[0], label))
        else:
            subjects.append(Subject(stem(images[0]), _channels_of(images[0]), label))
    named = cases([stem(image) for image, _ in single], [stem(label) for _, label in single if label is not None])
    return subjects + _grouped((image, named[stem(image)], label) for image, label in single)


def _grouped(scans: Iterable[tuple[Path, tuple[str, str], Path | None]]) -> list[Subject]:
    """Group scans, their subject and channel, and label map; a channel that is there begins another subject."""
    subjects: list[Subject] = []
    latest: dict[str, Subject] = {}
    for path, (name, number), label in scans:
        known = latest.get(name)
        if known is None or number in known.channels or known.label != label:
            known = latest[name] = Subject(name, label=label)
            subjects.append(known)
        known.channels[number] = path
    return subjects


def _channels_of(path: Path) -> dict[str, Path]:
    name = stem(path)
    extension = path.name[len(name) :]
    files = path.parent.glob("*") if path.parent.is_dir() else ()
    numbers = {file.name[len(name) + 1 : len(file.name) - len(extension)]: file for file in files
               if file.name.startswith(f"{name}_") and file.name.endswith(extension)}  # fmt: skip
    return {number: numbers[number] for number in sorted(numbers) if len(number) == 4 and number.isdecimal()}


def _in_folders(folder: Path, section: str, description: Mapping[str, Any]) -> list[Subject]:
    if is_nnunet2(description):
        images, labels = _FOLDERS[section][0]
        ending = file_ending(folder, description)
        files, maps = volumes(folder / images), volumes(folder / labels)
        for path in files + maps:
            if not path.name.lower().endswith(ending):
                raise InputError(f"{path}: {FILE} says that files end in {ending}; convert it or correct file_ending")
        return _paired(_named(files), _named(maps), always=True)
    for images, labels in _FOLDERS[section]:
        if files := scans(folder / images):
            filled = (found for name in (labels, *_LABEL_FOLDERS) if (found := volumes(folder / name)))
            return _paired(_named(files), _named(next(filled, [])))
    return _below(folder) if section == "training" else []


def _below(folder: Path) -> list[Subject]:
    """Subjects at any depth, named by their path; names of folders count as those of files do."""
    inner = sorted(path.parent for path in folder.rglob(FILE))
    if inner:
        raise InputError(f"{folder}: holds {len(inner)} datasets, no scans of its own; name one, such as {inner[0]}")
    paths = [(path.relative_to(folder).parts, path) for path in sorted(folder.rglob("*"))]
    shown = [(parts, path) for parts, path in paths if not any(part.startswith(".") for part in parts)]
    chosen = ((parts, path) for parts, path in shown if is_volume(path) or holds_series(path))
    return _paired({path: "_".join([*parts[:-1], stem(path)]).replace(" ", "_") for parts, path in chosen}, {})


def _named(files: Sequence[Path]) -> dict[Path, str]:
    return {path: stem(path) for path in files}


def _paired(files: Mapping[Path, str], maps: Mapping[Path, str], always: bool = False) -> list[Subject]:
    """Tell scans from label maps, group the channels of a subject, and give each its label map.

    Args:
        files: paths and names of what lies together, scans and perhaps label maps.
        maps: paths and names of what lies in the folder of label maps.
        always: the names of all scans end in the number of their channel.

    Raises:
        InputError: a label map beside the scans belongs to none of them, or a label map to several, or two to one.
    """
    labelled = set(maps.values())
    beside = {path: name for path, name in files.items() if is_label_name(name) and name not in labelled}
    images = {path: name for path, name in files.items() if path not in beside}
    for path, name in images.items():
        if is_confidence_name(name):
            raise InputError(f"{path}: a confidence map by its name, no scan; move it out of the folder")
    found = cases(set(images.values()), labelled, always)
    subjects = _grouped((path, found[name], None) for path, name in images.items())
    by_name = {subject.name: subject for subject in subjects}
    for path, name in (*maps.items(), *beside.items()):
        fitting = belongs_to(name, list(by_name)) or belongs_to(name.removesuffix("_0000"), list(by_name))
        if len(fitting) > 1:
            raise InputError(f"{path}: the label map may be of {' or '.join(fitting)}; name it after its scan")
        if fitting:
            subject = by_name[fitting[0]]
            if subject.label is not None:
                raise InputError(f"{subject.label} and {path} are both label maps of {subject.name}; move one away")
            subject.label = path
        elif path in beside:
            raise InputError(
                f"{path}: a label map by its name, and no scan beside it is called so; name it after its scan, or "
                "rename it if it is a scan"
            )
        else:
            logger.warning("%s: no scan of that name; the label map is left out", path)
    return subjects
