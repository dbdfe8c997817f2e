"""Run a bundle's configurations from Python: what the command line, the demo and the tests share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from .errors import InputError


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
    folder = Path(bundle).absolute() / "configs"
    files = [folder / f"{name}.yaml" for name in configs]
    for path in files:
        if not path.is_file():
            known = ", ".join(sorted(found.stem for found in folder.glob("*.yaml"))) or "none"
            raise InputError(f"no configuration {path}; there are: {known}")
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
