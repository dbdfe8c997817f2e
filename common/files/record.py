"""What travels with the weights: network, preprocessing and inferer of the training, inside of model.pt."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

import monai
import torch
from monai.bundle import ConfigParser

from .. import __version__
from ..calling import running_bundle
from ..errors import InputError
from .checkpoints import read_checkpoint

# Components by the names that inference has for them, and where a training has them.
COMPONENTS = {
    "network_def": "network_def",
    "prepare": "prepare",
    "inferer": "validate#inferer",
    "slices": "validate#load_support#slices",
}
_KEY = "fewshot"  # among the versions of its modules that PyTorch stores with a state
# Where components of weights that an earlier version wrote are now.
_MOVED = {
    "common.networks.UNet3DEncoder": "scripts.encoder.UNet3DEncoder",
    "common.networks.CANetEncoder": "scripts.encoder.CANetEncoder",
    "common.networks.ResNeXt3DEncoder": "scripts.encoder_3d.ResNeXt3DEncoder",
}
_VENDORED = "scripts.common."  # how ``common`` is called inside of a packaged bundle
_OURS = ("common.", "scripts.")


def make_record(parser: ConfigParser) -> dict[str, Any]:
    """Collect what inference must know of a training.

    Args:
        parser: train.yaml with overlays and overrides.

    Returns:
        What JSON can hold: ``components``, whose arguments are values or ``@id``; ``settings``, the ids' values;
        ``bundle`` and ``overlays``, their names; ``seed`` and ``versions``. ``WeightsSaver`` adds ``fingerprint``.
    """
    settings: dict[str, Any] = {}
    components = {
        name: _described(parser, parser[place], settings) for name, place in COMPONENTS.items() if place in parser
    }
    return {
        "components": components,
        "settings": settings,
        "overlays": list(parser.get("overlays") or ()),
        "bundle": running_bundle().name,
        "seed": parser.get("seed"),
        "versions": {
            "fewshot-bundles": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "monai": monai.__version__,
        },
    }


def attach_record(state: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Put a record into a network's state; for all who load it, it stays a mapping of names and tensors.

    Args:
        state: of ``state_dict()``, changed in place.
        record: see ``make_record``.
    """
    metadata: Any = getattr(state, "_metadata", None)
    if metadata is None:
        raise TypeError("a network's state_dict is needed, with PyTorch's _metadata")
    metadata[_KEY] = {"record": json.dumps(record)}


def read_record(path: str | Path) -> dict[str, Any] | None:
    """Read the record of a file of weights; None where it has none, or where there is no such file.

    Raises:
        InputError: the file is damaged, or its record is not one that a training of this project writes.
    """
    if not Path(path).is_file():
        return None
    content = read_checkpoint(path, verify=False, mapped=True)
    entry = getattr(content, "_metadata", {}).get(_KEY)
    if entry is None:
        return None
    try:
        record = json.loads(entry["record"])
        parts = [record["components"], record["settings"]]
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path}: the settings in it cannot be read ({reason}); train again") from None
    for text in texts(parts):
        # Weights come from other people: what they hold is read, never evaluated.
        if text[:1] in ("$", "%"):
            raise InputError(f"{path}: the settings in it hold the expression {text[:60]!r}; do not use this file")
    return dict(record)


def read_usable_record(path: str | Path) -> dict[str, Any] | None:
    """Read a record whose components are to be built by the bundle that runs.

    Raises:
        InputError: as for ``read_record``, or the bundle does not have these components.
    """
    record = read_record(path)
    if record is None:
        return None
    for old, new in _MOVED.items():
        record["components"] = _renamed(record["components"], old, new)
    if __name__.startswith(_VENDORED):
        record["components"] = _renamed(record["components"], "common.", _VENDORED)
    for mapping in _mappings(record["components"]):
        special = {key: value for key, value in mapping.items() if key.startswith("_")}
        if special and not (special.keys() == {"_target_"} and _is_part(str(special["_target_"]))):
            raise InputError(
                f"{path}: the settings in it ask for {special}, which this bundle does not have; they are of bundle "
                f"{record.get('bundle')}"
            )
    return record


def _described(parser: ConfigParser, value: Any, settings: dict[str, Any]) -> Any:
    """Copy a configuration with expressions evaluated and references to settings kept, whose values are collected."""
    if isinstance(value, Mapping):
        described = {key: _described(parser, part, settings) for key, part in value.items()}
        return _renamed(described, _VENDORED, "common.")
    if isinstance(value, list):
        return [_described(parser, part, settings) for part in value]
    if not isinstance(value, str) or value[:1] not in ("@", "$"):
        return value
    name = value[1:].replace("::", "#")
    if value[0] == "@" and isinstance(parser.get(name), Mapping):
        return _described(parser, parser[name], settings)
    if value[0] == "@" and "#" not in name:
        settings[name] = _plain(parser.get_parsed_content(name), name)
        return f"@{name}"
    anonymous = ConfigParser({**parser.get(), "_value_": value})
    return _plain(anonymous.get_parsed_content("_value_"), value)


def _plain(value: Any, name: str) -> Any:
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        raise InputError(
            f"{name} is {value!r}, which cannot be stored with the weights; give numbers, words or lists of them"
        ) from None


def _renamed(part: Any, old: str, new: str) -> Any:
    if isinstance(part, Mapping):
        return {
            key: new + value.removeprefix(old)
            if key == "_target_" and value.startswith(old)
            else _renamed(value, old, new)
            for key, value in part.items()
        }
    return [_renamed(value, old, new) for value in part] if isinstance(part, list) else part


def _is_part(target: str) -> bool:
    """Tell whether a target is a class of this project or of the bundle's scripts, not something that one imports."""
    component = locate(target)
    return isinstance(component, type) and f"{component.__module__}.".startswith(_OURS)


def _mappings(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, Mapping):
        yield part
    for value in part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ():
        yield from _mappings(value)


def texts(content: Any) -> Iterator[str]:
    """Give every text in the dictionaries and lists of a configuration."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for value in content.values() if isinstance(content, dict) else content:
            yield from texts(value)
