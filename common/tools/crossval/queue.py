"""A queue: a file that names the cross-validations behind a page of tables, every method from every start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from ...configuration.workflow import bundle_folder, check_configuration
from ...errors import InputError, one_line
from .engines import Task
from .runs import CHALLENGES, Experiment, ablation_overlays, list_runs


@dataclass(frozen=True)
class Entry:
    """One cross-validation of a queue; its folds, protocols and data are those of the command.

    Attributes:
        bundle: folder.
        config: overlays of train.yaml.
        setting: 1 or 2.
        repeats: trainings per fold.
        untrained: score the networks as they are initialised.
        overrides: ids and values.
        start: what a training starts from and how long it takes, in a few words.
    """

    bundle: Path
    config: list[str]
    setting: int = 1
    repeats: int = 1
    untrained: bool = False
    overrides: dict[str, Any] = field(default_factory=dict)
    start: str = ""

    def with_overrides(self, overrides: dict[str, Any]) -> Entry:
        """Add ids and values, which come last."""
        return replace(self, overrides=self.overrides | overrides)


# Key -> type, what it is called in messages, and whether it stands with a start or with a method.
_KEYS: dict[str, tuple[type, str, bool]] = {
    "bundle": (str, "the name or folder of a bundle", False),
    "config": (list, "a list of overlays", True),
    "setting": (int, "1 or 2", False),
    "repeats": (int, "a whole number", False),
    "untrained": (bool, "true or false", True),
    "set": (dict, "ids and values", False),
    "name": (str, "a few words", True),
}


def read_queue(path: Path, config: Sequence[str] = ()) -> list[Entry]:
    """Read a queue: ``methods`` and ``starts``, two lists whose items are combined, start by start.

    Args:
        path: YAML file.
        config: overlays that take the place of its starts, as ``paper`` on a machine with a GPU.

    Raises:
        InputError: it cannot be read, names something unknown, or has no methods.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no file {path}; --queue takes a YAML file with methods and starts") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from error
    if not isinstance(content, dict) or set(content) - {"methods", "starts"} or not content.get("methods"):
        raise InputError(f"{path}: a queue is two lists, methods and starts; found {content!r:.80}")
    methods = _items(path, content, "methods", with_start=False)
    starts: list[dict[str, Any]] = (
        [{"config": list(config)}] if config else _items(path, content, "starts", with_start=True)
    )
    return [
        Entry(
            bundle_folder(method["bundle"]),
            [*method.get("config", []), *start.get("config", [])],
            method.get("setting", 1),
            method.get("repeats", 1),
            start.get("untrained", False),
            method.get("set", {}),
            start.get("name", ""),
        )
        for start in starts
        for method in methods
    ]


def list_tasks(
    entries: Sequence[Entry],
    shared: Experiment,
    dataset: str,
    folds: Sequence[int] | None = None,
    seed: int = 2021,
    ablation: str = "",
) -> list[Task]:
    """List the runs of cross-validations, one after the other, each with the folders that it works in.

    Args:
        entries: cross-validations.
        shared: data, output, protocols and processes of all; its bundle is replaced.
        dataset: name; the overlay of a challenge's name is added, whose folds go with its preprocessing.
        folds: numbers; None for all.
        seed: of the first repeat.
        ablation: also with each of its overlays.

    Raises:
        InputError: a bundle, an overlay, a setting or a fold does not exist, or overlays do not go together.
    """
    tasks: list[Task] = []
    for entry in entries:
        base = entry.config if dataset not in CHALLENGES or dataset in entry.config else [dataset, *entry.config]
        overlays = ablation_overlays(entry.bundle, ablation, base) if ablation else []
        settings: Any = {"dataset": dataset, "data": shared.data, "folds": folds, "seed": seed}
        settings |= {"repeats": entry.repeats, "setting": entry.setting, "untrained": entry.untrained}
        for config in [base, *([*base, overlay] for overlay in overlays)]:
            check_configuration(entry.bundle, ["train", *config, "evaluate"], entry.overrides)
            runs = list_runs(entry.bundle, config=config, overrides=entry.overrides, **settings)
            tasks += [(replace(shared, bundle=entry.bundle), run) for run in runs]
    return tasks


def _items(path: Path, content: dict[str, Any], name: str, with_start: bool) -> list[dict[str, Any]]:
    """Return the items of one of the lists after a look at their keys and types."""
    known = [key for key, (_, _, start) in _KEYS.items() if start == with_start or key == "config"]
    items = content.get(name) or [{}]
    if not isinstance(items, list):
        raise InputError(f"{path}: {name} is {items!r:.80}; it takes a list, as in [{{{known[0]}: ...}}]")
    for number, item in enumerate(items, 1):
        where = f"{path}: item {number} of {name}"
        if not isinstance(item, dict) or (not with_start and "bundle" not in item):
            raise InputError(f"{where} is {item!r:.80}; it takes {', '.join(known)}, as in {{{known[0]}: ...}}")
        for key, value in item.items():
            if key not in known:
                raise InputError(f"{where} names {key!r}; it takes {', '.join(known)}")
            if type(value) is not _KEYS[key][0]:
                raise InputError(f"{where}: {key} is {value!r:.80}; it takes {_KEYS[key][1]}")
    return list(items)
