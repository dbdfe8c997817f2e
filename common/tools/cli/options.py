"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import InputError
from ...files.literals import literal, split_paths

Bundle = Annotated[Path, typer.Option(help="Name of a bundle, or its folder: adnet, bundles/adnet.")]
DEFAULT_BUNDLE = Path("adnet")  # where none is named
Checkpoint = Annotated[
    Path | None, typer.Option(help="Trained weights; default: the bundle's models/model.pt, or those it came with.")
]
Overrides = Annotated[list[str] | None, typer.Option("--set", "--override", help="ID=VALUE, as often as needed.")]
Overlays = Annotated[str, typer.Option("--config", help="Overlays of the bundle's configs, separated by commas.")]
TrainsWith = Annotated[
    str, typer.Option("--config", help="Overlays of the training, for trainings that start from the package.")
]
TrainedWith = Annotated[
    str, typer.Option("--config", help="Overlays of the training, for older weights: later ones carry their settings.")
]

Device = Annotated[str | None, typer.Option(help="cpu or cuda:0; default: a GPU where there is one.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that this command did not make.")]
Channel = Annotated[str | None, typer.Option(help="Number or name, where subjects have several (case_0001).")]
Outside = Annotated[bool, typer.Option("--allow-outside", help="dataset.json may name files outside of its folder.")]
Data = Annotated[
    str, typer.Option("--data", "--dataset-dir", help="Folder of scans, labels optional; phantom is built in.")
]


def file_setting(paths: list[str]) -> str:
    """Give the setting for files that an option names, repeated or separated by commas, each taken as it is."""
    return literal([path for text in paths for path in split_paths(text)])


def dataset_settings(dataset_dir: str, channel: str | None, allow_outside: bool) -> dict[str, Any]:
    """Give the settings that say which scans a dataset holds."""
    chosen = given(channel=None if channel is None else literal(channel), allow_outside=allow_outside or None)
    return {"dataset_dir": literal(dataset_dir), **chosen}


def given(**settings: Any) -> dict[str, Any]:
    """Keep the settings that were given: those that are not None; paths as they are."""
    found = {name: value for name, value in settings.items() if value is not None}
    return {name: literal(value) if isinstance(value, Path) else value for name, value in found.items()}


def split_names(config: str) -> list[str]:
    return [name.strip() for name in config.split(",") if name.strip()]


def read_folds(text: str) -> list[int]:
    folds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", part.strip())
        if found is not None:
            folds += range(int(found[1]), int(found[2] or found[1]) + 1) or [-1]
        if found is None or -1 in folds or len(set(folds)) < len(folds):
            raise InputError(f"--folds takes whole numbers such as 0-4 or 0,3, each once, lower first; got {text!r}")
    return folds


def read_overrides(texts: list[str]) -> dict[str, Any]:
    import yaml

    overrides = {}
    for text in texts:
        name, mark, value = text.partition("=")
        try:
            overrides[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            mark = ""
        if not mark or not name:
            raise InputError(f"--set takes ID=VALUE, the value as in YAML, got {text!r}")
    return overrides


def read_integers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} takes whole numbers separated by commas, got {text!r}") from None
