"""What the names of scans and label maps say: format, subject, channel, and which scan a label map belongs to."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import InputError
from .dicom.series import holds_series
from .formats import EXTENSIONS

# Words, apart from numbers, that tell scan and label map of one subject apart.
_IMAGE_WORDS = {"image", "images", "imagestr", "imagests", "img", "imgs", "scan", "scans", "vol", "volume", "volumes"}
_LABEL_WORDS = {
    "label", "labels", "labelstr", "labelsts", "labelmap", "labelmaps", "mask", "masks", "seg", "segs", "segmentation",
    "segmentations", "annotation", "annotations", "ground", "truth", "groundtruth", "gt",
}  # fmt: skip
_CHANNEL = re.compile(r"(.+)_(\d{4})")


def volumes(folder: Path) -> list[Path]:
    """List the files of a folder that hold a volume by their name, sorted; hidden ones are left out."""
    return [path for path in sorted(folder.glob("*")) if is_volume(path)]


def is_volume(path: Path) -> bool:
    """Tell whether a name is that of a volume, in upper or lower case, and not hidden."""
    return path.name.lower().endswith(EXTENSIONS) and not path.name.startswith(".")


def scans(folder: Path) -> list[Path]:
    """List the volumes of a folder and its folders of DICOM series."""
    files = volumes(folder)
    return files + [path for path in sorted(folder.glob("*")) if path not in files and holds_series(path)]


def cases(names: Collection[str], labelled: Collection[str], always: bool = False) -> dict[str, tuple[str, str]]:
    """Tell subject and channel of each scan as nnU-Net names them: ``case_0001`` is channel 0001 of ``case``.

    The number counts as a channel where the label map is called ``case`` or there is a ``case_0000``; a scan whose
    label map has the same name is a subject of its own.

    Args:
        names: of the scans, without extension.
        labelled: names of the label maps, without extension.
        always: every scan has a channel.

    Returns:
        Subject and channel by name; a scan whose name tells none is channel 0000.

    Raises:
        InputError: a scan has no channel although all must have one.
    """
    found = {}
    for name in names:
        match = _CHANNEL.fullmatch(name)
        if always and match is None:
            raise InputError(f"scan {name} has no channel number, as nnU-Net's have: name it {name}_0000")
        if match and (always or (name not in labelled and (match[1] in labelled or f"{match[1]}_0000" in names))):
            found[name] = (match[1], match[2])
        elif match and match[2] == "0000" and match[1] not in names:
            found[name] = (match[1], "0000")
        else:
            found[name] = (name, "0000")
    return found


def is_label_name(name: str) -> bool:
    """Tell whether a name without extension says that it is a label map: ``c0_seg``, ``label0001``, ``p1-mask``."""
    return not _LABEL_WORDS.isdisjoint(_words(name))


def is_confidence_name(name: str) -> bool:
    """Tell whether a name without extension is that of a confidence map, which segmentation writes."""
    return name.lower().endswith("_confidence")


def belongs_to(label: str, subjects: Sequence[str]) -> list[str]:
    """Find the subjects that a label map can belong to by its name.

    Args:
        label: name of the label map, without extension.
        subjects: names of the subjects.

    Returns:
        The subject of that very name, or those of the same words and numbers but for words such as "img" and "seg".
    """
    if label in subjects:
        return [label]
    return [subject for subject in subjects if _key(subject) == _key(label)]


def organ_words(name: str) -> list[str]:
    """Split an organ's name into its words in small letters, however a dataset writes it: ``Kidney, right``."""
    return re.findall(r"[^\W_]+", name.lower())


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+|\d+", name.lower())


def _key(name: str) -> list[str]:
    return [word for word in _words(name) if word not in _IMAGE_WORDS | _LABEL_WORDS]
