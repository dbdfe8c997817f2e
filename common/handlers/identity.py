"""What a training is: its settings and its scans, so that nothing goes on from another one's state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.hashing import hash_files

# What may change from one run of a training to the next: where and how it computes, what is looked at meanwhile, and
# what is named by its content or by values of its own.
_FREE = {
    *("_meta_", "imports", "bundle_root", "ckpt_dir", "output_dir", "cache_dir", "dataset_dir", "datalist", "split"),
    *("device", "rank", "num_workers", "cache_bytes", "precision", "compiled", "cuda_graph", "network", "meet"),
    *(
        "val_interval",
        "save_interval",
        "keep_interval",
        "estimate",
        "resume",
        "restart",
        "max_epochs",
        "protocol",
        "protocols",
    ),
    *(
        "shots",
        "chunk_rule",
        "evaluate_space",
        "largest_components",
        "distances",
        "validate",
        "check",
        "guard",
        "run",
        "training",
        "overlays",
    ),
    *("optimizer#fused", "optimizer#foreach", "optimizer#capturable"),
    *("train#handlers", "train#trainer", "train#dataset#data", "train#dataset#cache_dir", "train#dataset#num_workers"),
    *("train#dataloader#device", "train#dataloader#pack_dir", "train#dataloader#cache_bytes"),
}
_ABSENT = "not set"


def settings_of(config: Mapping[str, Any], max_epochs: int | None = None) -> dict[str, str]:
    """Return the settings that change what a training learns.

    Args:
        config: ids as they are written, references and expressions not resolved.
        max_epochs: counts where the learning-rate schedule spans all epochs.

    Returns:
        Full ids and values as JSON text.
    """
    settings = {
        key: json.dumps(value, sort_keys=True, default=str)
        for key, value in _leaves(config)
        if not any(key == free or key.startswith(f"{free}#") for free in _FREE)
    }
    if "max_epochs" in json.dumps(config.get("lr_scheduler"), default=str):
        settings["max_epochs"] = json.dumps(max_epochs)
    return settings


def scans_of(items: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the training scans by name with a hash of what scan and label map hold.

    Args:
        items: of a datalist.
    """
    scans: dict[str, str] = {}
    for item in items:
        files = [hash_files(Path(item[key])).hex() for key in ("image", "label") if item.get(key) is not None]
        name = str(item.get("subject") or Path(item["image"]).name)
        scans[name] = " ".join(filter(None, [scans.get(name), *files]))
    return scans


def differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Name what tells two trainings apart.

    Args:
        mine: ``{"settings": ..., "scans": ...}`` of this training.
        other: that of the state on the disk.

    Returns:
        Phrases with the setting and both values; none where the trainings are the same.
    """
    found = [f"{key} is {now}, was {before}" for key, now, before in _differing(mine["settings"], other["settings"])]
    for name, now, before in _differing(mine["scans"], other["scans"]):
        kind = "is new" if before == _ABSENT else "is missing" if now == _ABSENT else "has another content"
        found.append(f"training scan {name} {kind}")
    return found


def _differing(mine: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for key in dict.fromkeys([*mine, *other]):
        now, before = mine.get(key, _ABSENT), other.get(key, _ABSENT)
        if now != before:
            yield key, now, before


def _leaves(content: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield full id and value of everything that is no mapping, and no list of mappings."""
    if isinstance(content, Mapping) and content:
        items: Any = content.items()
    elif isinstance(content, list) and any(isinstance(part, Mapping | list) for part in content):
        items = enumerate(content)
    else:
        yield path, content
        return
    for key, value in items:
        yield from _leaves(value, f"{path}#{key}" if path else str(key))
