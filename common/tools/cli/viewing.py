"""The verb ``open``: napari with the plugin and scans."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from ...errors import InputError
from .options import DEFAULT_BUNDLE, Bundle, Checkpoint

_INSTALL = 'pip install "fewshot-bundles[napari]"'


def open_scans(
    scans: Annotated[list[str], typer.Argument(help="Scans, files or folders of DICOM series.")],
    bundle: Bundle = DEFAULT_BUNDLE,
    checkpoint: Checkpoint = None,
) -> None:
    """Open scans in napari to draw on them and segment."""
    bindings = ("PySide6", "PyQt6", "PyQt5")
    missing = ["napari"] * (find_spec("napari") is None) + ["Qt"] * (not any(map(find_spec, bindings)))
    if missing:
        raise InputError(f"fewshot open needs {' and '.join(missing)}: {_INSTALL}")
    asked = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if sys.platform.startswith("linux") and not asked:
        raise InputError("fewshot open shows a window, and there is no display; run it on a desktop, or with xvfb-run")
    from ..viewer.start import run

    run(scans, bundle, checkpoint)
