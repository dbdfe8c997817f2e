"""Organ names from what comes with a label map: its own header, or a file that lies beside it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import InputError
from .datalists import label_names
from .dicom.seg_reader import is_dicom_seg, segment_names
from .reading import stem

_SNAP_SIGNATURE = "ITK-SnAP Label Description File"


def organ_names(label_maps: Sequence[str | Path], names: Mapping[int, str] | None = None) -> dict[int, str]:
    """Find the organ names that come with label maps, with given ones in their place.

    A label map's names are those in its own header (3D Slicer's .seg.nrrd, DICOM-SEG), of ITK-SNAP's label descriptions
    beside it (the same name, ending in .label or .txt), or of the ``dataset.json`` beside it or above its folder
    ``labels*``.

    Args:
        label_maps: paths.
        names: names by label value that go before what is found.

    Returns:
        Names by label value, background left out.

    Raises:
        InputError: a file cannot be read, or two label maps have different names for one value.
    """
    found: dict[int, tuple[str, str | Path]] = {}
    for path in label_maps:
        place = Path(path).absolute()
        own = segment_names(place) if is_dicom_seg(place) else {}
        own = own or _slicer_names(place) or _snap_names(place) or _dataset_names(place)
        for value, name in own.items():
            other, first = found.setdefault(value, (name, path))
            if value > 0 and other.casefold() != name.casefold():
                raise InputError(f"{path}: label value {value} is {name}, and {other} in {first}; give them one value")
    known = {value: name for value, (name, _) in found.items() if value > 0}
    return known | {int(value): name for value, name in (names or {}).items()}


def _slicer_names(path: Path) -> dict[int, str]:
    if not path.name.lower().endswith(".nrrd"):
        return {}
    with path.open("rb") as file:
        header = file.read(65536).split(b"\n\n")[0].decode(errors="replace")
    fields = dict(re.findall(r"^Segment(\d+_(?:Name|LabelValue)):=(.*?)\r?$", header, re.MULTILINE))
    numbers = sorted({key.partition("_")[0] for key in fields}, key=int)
    values = {number: fields.get(f"{number}_LabelValue", str(int(number) + 1)) for number in numbers}
    return {int(values[number]): fields[f"{number}_Name"] for number in numbers if f"{number}_Name" in fields}


def _snap_names(path: Path) -> dict[int, str]:
    for ending in (".label", ".txt"):
        beside = path.with_name(stem(path) + ending)
        if beside.is_file():
            text = beside.read_text(encoding="utf-8", errors="replace")
            if _SNAP_SIGNATURE in text:  # any other text of that name is not about it
                return dict(_snap_label(beside, line) for line in text.splitlines() if line.strip() and line[0] != "#")
    return {}


def _snap_label(path: Path, line: str) -> tuple[int, str]:
    """Read ``IDX R G B A VIS MSH "LABEL"``."""
    try:
        parts = shlex.split(line)
        return int(parts[0]), parts[7]
    except (ValueError, IndexError):
        raise InputError(f"{path}: {line.strip()!r} is no label description; export it from ITK-SNAP again") from None


def _dataset_names(path: Path) -> dict[int, str]:
    folder = path.parent
    above = [folder.parent] if folder.name.lower().startswith("label") else []  # any other file is not about it
    place = next((place for place in (folder, *above) if (place / "dataset.json").is_file()), None)
    return {} if place is None else {value: name for name, value in label_names(place).items()}
