"""Run a bundle's configurations from Python: what the command line, the demo and the tests share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigWorkflow

from .errors import InputError

ABLATIONS = "ablations"  # folder in configs, of overlays that change one thing each; not packaged


def bundle_workflow(
    bundle: str | Path, configs: Sequence[str], kind: str = "train", **overrides: Any
) -> ConfigWorkflow:
    """Build a MONAI ``ConfigWorkflow`` from a bundle folder.

    The folder goes on ``sys.path`` for its ``scripts``: one bundle per process.

    Args:
        bundle: folder with ``configs/`` and ``scripts/``.
        configs: names of files in ``configs`` without extension, base first, overlays after it.
        kind: ``train`` or ``infer``, which of MONAI's property lists applies.
        overrides: ids and values, ``#`` in ids written as ``#`` through a dictionary: ``**{"train#x": 1}``.

    Returns:
        The workflow, initialised; ``run()`` does the work.

    Raises:
        InputError: the bundle or a configuration does not exist.
    """
    files = [config_file(bundle, name) for name in configs]
    folder = Path(bundle).absolute() / "configs"
    if str(folder.parent) not in sys.path:
        sys.path.insert(0, str(folder.parent))
    workflow = ConfigWorkflow(
        config_file=[str(path) for path in files],
        meta_file=str(folder / "metadata.json"),
        logging_file=str(folder / "logging.conf"),
        workflow_type=kind,
        **overrides,
    )
    workflow.initialize()
    return workflow


def config_file(bundle: str | Path, name: str) -> Path:
    """Find a configuration of a bundle, in ``configs`` or ``configs/ablations``.

    Args:
        bundle: folder with ``configs/``.
        name: of the file without extension.

    Returns:
        Absolute path.

    Raises:
        InputError: the bundle or the configuration does not exist.
    """
    path = _find(bundle, name)
    if path is None:
        folder = Path(bundle).absolute() / "configs"
        known = ", ".join(sorted(found.stem for found in folder.rglob("*.yaml"))) or "none"
        raise InputError(f"no configuration {folder / name}.yaml; there are: {known}")
    return path


def merged_config(bundle: str | Path, names: Sequence[str]) -> dict[str, Any]:
    """Read configurations one over the other; an id of a later one replaces that of an earlier one, as in MONAI.

    Args:
        bundle: folder with ``configs/``.
        names: of the configurations.

    Returns:
        Ids as they are written, references and expressions not resolved.

    Raises:
        InputError: a configuration does not exist.
    """
    merged: dict[str, Any] = {}
    for name in names:
        merged |= yaml.safe_load(config_file(bundle, name).read_text())
    return merged


def has_config(bundle: str | Path, name: str) -> bool:
    """Tell whether a bundle has a configuration of that name."""
    return _find(bundle, name) is not None


def _find(bundle: str | Path, name: str) -> Path | None:
    folder = Path(bundle).absolute() / "configs"
    places = (folder / f"{name}.yaml", folder / ABLATIONS / f"{name}.yaml")
    return next((path for path in places if path.is_file()), None)
