"""Options that several verbs share, and how their texts are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

Bundle = Annotated[Path, typer.Option(help="Bundle folder, for instance bundles/adnet.")]
Checkpoint = Annotated[Optional[Path], typer.Option(help="Trained weights; default: the bundle's models/model.pt.")]  # noqa: UP045
Overrides = Annotated[Optional[list[str]], typer.Option("--override", help="ID=VALUE, as often as needed.")]  # noqa: UP045
Overlays = Annotated[str, typer.Option("--config", help="Overlays of the bundle's configs, separated by commas.")]


def split_names(config: str) -> list[str]:
    return [name.strip() for name in config.split(",") if name.strip()]


def read_folds(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    return (
        list(range(read_integers(first, "--folds")[0], read_integers(last, "--folds")[0] + 1))
        if dash
        else read_integers(text, "--folds")
    )


def read_overrides(texts: list[str]) -> dict[str, Any]:
    import yaml

    pairs = [text.partition("=") for text in texts]
    if any(not mark for _, mark, _ in pairs):
        raise typer.BadParameter(f"--override takes ID=VALUE, got {texts}")
    return {key: yaml.safe_load(value) for key, _, value in pairs}


def read_integers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} takes whole numbers separated by commas, got {text!r}") from None
