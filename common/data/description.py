"""``dataset.json`` of a dataset folder, as the Medical Segmentation Decathlon and nnU-Net (1 and 2) write it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .formats import EXTENSIONS

FILE = "dataset.json"


def read_description(folder: Path) -> dict[str, Any] | None:
    """Read ``dataset.json`` and check the types of what is used of it.

    Args:
        folder: of the dataset.

    Returns:
        Its content; None where there is no such file.

    Raises:
        InputError: it is no JSON, or an entry has the wrong type; names the entry.
    """
    path = folder / FILE
    if not os.path.lexists(path):
        return None
    try:
        content = json.loads(path.read_bytes())  # a byte-order mark tells the encoding
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON ({error}): correct or remove it") from error
    if not isinstance(content, dict) or not isinstance(content.get("labels", {}), dict):
        raise InputError(f'{path} is not an MSD description: expected {{"labels": {{...}}, "training": [...]}}')
    wanted = {
        "training": (list, "a list"),
        "test": (list, "a list"),
        "dataset": (dict, "an object"),
        "channel_names": (dict, "an object"),
        "file_ending": (str, "an extension"),
        "numTraining": (int, "a whole number"),
    }
    for key, (kind, words) in wanted.items():
        if key in content and not isinstance(content[key], kind):
            raise InputError(f"{path}: {key} must be {words}, found {_short(content[key])}")
    return content


def label_values(folder: Path, description: Mapping[str, Any]) -> dict[str, int]:
    """Give label names and values, written either way round, in the order of the values.

    Raises:
        InputError: a label value is not an integer.
    """
    labels = description.get("labels", {})
    value_first = bool(labels) and all(str(key).isdecimal() for key in labels)
    pairs = [(value, name) if value_first else (name, value) for name, value in labels.items()]
    for name, value in pairs:
        whole = isinstance(value, (int, str)) and re.fullmatch(r"-?[0-9]{1,18}", str(value))
        if not isinstance(name, str) or not whole:
            raise InputError(f"{folder / FILE}: label values must be integers, found {_short(labels)}")
    return dict(sorted(((name, int(value)) for name, value in pairs), key=lambda pair: pair[1]))


def channel_names(description: Mapping[str, Any]) -> dict[str, str]:
    """Give the names of the channels by their four digits, from ``channel_names`` (nnU-Net 2) or ``modality``."""
    named = description.get("channel_names", description.get("modality"))
    if not isinstance(named, dict):
        return {}
    return {str(number).zfill(4): str(name) for number, name in named.items()}


def is_nnunet2(description: Mapping[str, Any]) -> bool:
    """Tell whether the scans are those in the folders instead of a list, all with a channel's number."""
    return "training" not in description and not {"channel_names", "file_ending"}.isdisjoint(description)


def file_ending(folder: Path, description: Mapping[str, Any]) -> str:
    """Give the extension that nnU-Net 2 states for all files.

    Raises:
        InputError: it is that of no format read here.
    """
    ending = str(description.get("file_ending", EXTENSIONS[0])).lower()
    if ending not in EXTENSIONS:
        raise InputError(f"{folder / FILE}: file_ending {ending!r} is not read; {', '.join(EXTENSIONS)} are")
    return ending


def listed_files(
    folder: Path, description: Mapping[str, Any], section: str, allow_outside: bool
) -> list[tuple[list[Path], Path | None]]:
    """Give what ``dataset.json`` lists: for each entry its scan, or its channels in order, and its label map.

    Args:
        folder: of the dataset.
        description: content of the file.
        section: "training" or "test"; where nnU-Net 2's ``dataset`` stands instead, it is the training.
        allow_outside: files may lie outside of the folder.

    Raises:
        InputError: an entry is malformed, or reaches outside of the folder.
    """
    entries = description.get(section, [])
    if "training" not in description and section == "training":
        listed = description.get("dataset", {}).values()
        entries = [{**entry, "image": entry.get("images")} if isinstance(entry, dict) else entry for entry in listed]
    found = []
    for entry in entries:
        paths = {"image": entry} if isinstance(entry, str) else entry
        images, label = (paths.get("image"), paths.get("label")) if isinstance(paths, dict) else (None, None)
        images = images if isinstance(images, list) else [images]
        if not images or not all(map(_is_path, images)) or not (label in (None, "") or _is_path(label)):
            raise InputError(
                f'{folder / FILE}: {section} entry {_short(entry)} must be a path or {{"image": path, "label": path}}'
            )
        files = [_inside(folder, text, allow_outside) for text in images]
        found.append((files, _inside(folder, label, allow_outside) if label else None))
    return found


def _is_path(value: Any) -> bool:
    """Tell whether a value is text that can name a file: not empty, no null character, and with an encoding."""
    if not isinstance(value, str) or value == "" or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True


def _inside(folder: Path, text: str, allow_outside: bool) -> Path:
    path = folder / text
    if not allow_outside and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise InputError(
            f"{folder / FILE}: {text} lies outside of the folder; move it there, or set allow_outside (--allow-outside)"
        )
    return path


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
