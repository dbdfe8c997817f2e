"""What a client of MONAI Label may ask for: what the server or the bundle would stumble over is refused."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import torch

from ...errors import InputError
from .server import LARGEST_VALUE, model_files, shortened

# All that this transform's successors and the server itself read from here on; a client may send any key.
_KEPT = ("image", "image_path", "device", "model", "model_filename", "logging", "result_compress", "result_dtype")
_ENDINGS = (".nii.gz", ".nii", ".seg.nrrd", ".nrrd", ".mha")
_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


def checked_request(data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    """Check the server's own options, and keep of a request what is needed to answer it.

    Args:
        data: the request as the server hands it to the first transform.

    Returns:
        The query's path and the options; the mask's path, support and organ are not among them.

    Raises:
        InputError: a value that a configuration would evaluate, or that the server would fail on.
    """
    _check_device(data)
    for key, value in data.items():
        if key != "support" and isinstance(value, str) and value.startswith(("$", "@", "%")):
            raise InputError(f"{key}: the value {shortened(value)!r} begins with {value[0]}; give a plain value")
    files, file = model_files(str(data.get("model"))), data.get("model_filename")
    if files and file != files and file not in files:
        raise InputError(f"model_filename: this model has {listed(files)}; got {shortened(file)!r}")
    tag = data.get("label_tag", "original")  # ``..`` would lead out of the folder of labels, and write over the scan
    if not isinstance(tag, str) or not re.fullmatch(r"\w[\w.-]*", tag):
        raise InputError(f"label_tag is a name of letters, digits, _, - and dots; got {shortened(tag)!r}")
    if (dtype := data.get("result_dtype")) and dtype not in _TYPES:
        raise InputError(f"result_dtype is one of {', '.join(_TYPES)}; got {shortened(dtype)!r}")
    if not isinstance(compress := data.get("result_compress", False), bool):
        raise InputError(f"result_compress is true or false; got {shortened(compress)!r}")
    kept: dict[Hashable, Any] = {key: data[key] for key in _KEPT if key in data}
    return {**kept, "result_extension": _ending(data)}


def organ_name(data: Mapping[Hashable, Any]) -> str:
    """Return the organ that a request names, "" if it names none.

    Raises:
        InputError: not a text.
    """
    name = data.get("label_name")
    if not isinstance(name or "", str):
        raise InputError(f"label_name is an organ's name; got {shortened(name)!r}")
    return " ".join((name or "").split())


def organ_value(data: Mapping[Hashable, Any]) -> int:
    """Return the label value that a request asks for, 0 if it asks for none.

    Raises:
        InputError: not a whole number, or beyond what label maps hold.
    """
    value = data.get("label_value")
    if value is None or value == "":
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_VALUE:
        raise InputError(f"label_value is a whole number from 1 to {LARGEST_VALUE}; got {shortened(value)!r}")
    return value


def query_range(data: Mapping[Hashable, Any]) -> list[int]:
    """Return the first and last slice between which a request says that the organs lie; empty if it says nothing.

    Raises:
        InputError: no two whole numbers, or the last is before the first.
    """
    asked = data.get("query_slices")
    if asked is None or asked in ("", []):
        return []
    parts = [int(part) for part in asked.split(",") if part.strip().isdecimal()] if isinstance(asked, str) else asked
    numbers = parts if isinstance(parts, list) else []
    whole = all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= LARGEST_VALUE for n in numbers)
    if not whole or len(numbers) != 2 or numbers[0] > numbers[1] or isinstance(asked, str) and asked.count(",") != 1:
        raise InputError(f"query_slices are the organs' first and last slice, such as 10,25; got {shortened(asked)!r}")
    return numbers


def wants_confidence(data: Mapping[Hashable, Any]) -> bool:
    """Tell whether a request asks for the confidence in place of the label map.

    Raises:
        InputError: neither true nor false, or in whole numbers, all of which would be 0.
    """
    wanted = data.get("confidence", False)
    if not isinstance(wanted, bool):
        raise InputError(f"confidence is true or false; got {shortened(wanted)!r}")
    if wanted and (dtype := data.get("result_dtype") or "float32") not in ("float32", "float64"):
        raise InputError(f"confidence is a fraction; leave result_dtype out in place of {dtype}")
    return wanted


def support_names(asked: Any, known: list[str]) -> list[str]:
    """Return the studies that a request names as support.

    Args:
        asked: an id, several ids separated by commas, or a list of ids, which is taken as it stands.
        known: ids of the server's studies; an id of them may hold commas.

    Raises:
        InputError: neither a text nor a list of texts, or no such study.
    """
    parts = asked if isinstance(asked, list) else [asked or ""]
    if not all(isinstance(part, str) for part in parts):
        raise InputError(
            f"support is a study's id, or several as a list or separated by commas; got {shortened(asked)}"
        )
    if isinstance(asked, str) and asked not in known:
        parts = [part.strip() for part in asked.split(",")]
    names = [part for part in parts if part.strip()]
    unknown = [shortened(name) for name in dict.fromkeys(names) if name not in set(known)]
    if unknown:
        raise InputError(f"support: no study {listed(unknown)} on this server; give the ids that it lists")
    return names


def listed(values: list[Any], most: int = 10) -> str:
    """Join values for a message; many are counted."""
    shown = ", ".join(shortened(value) for value in values[:most])
    return f"{shown} and {len(values) - most} more" if len(values) > most else shown


def _check_device(data: Mapping[Hashable, Any]) -> None:
    device = data.get("device", "cpu")
    try:
        usable = device == "cpu" or torch.zeros(1, device=device).item() == 0 and torch.device(device).type != "cpu"
    except (RuntimeError, AssertionError, TypeError, ValueError):
        usable = False
    if not usable:
        raise InputError(f"device: this machine cannot compute on {shortened(device)!r}; try cpu")


def _ending(data: Mapping[Hashable, Any]) -> str:
    """Choose the answer's file format: the client's, or that of the query."""
    asked = data.get("result_extension")
    if asked and asked not in _ENDINGS:
        raise InputError(f"result_extension is one of {', '.join(_ENDINGS)}; got {shortened(asked)!r}")
    path = str(data.get("image_path"))
    return asked or next((ending for ending in _ENDINGS if path.endswith(ending)), _ENDINGS[0])
