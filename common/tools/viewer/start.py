"""``fewshot open``: napari with the plugin and scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import napari

from .widget import FewShotWidget

TITLE = "Few-shot segmentation"


def open_viewer(
    scans: Sequence[str], bundle: str | Path = "adnet", checkpoint: str | Path | None = None
) -> tuple[napari.Viewer, FewShotWidget]:
    """Open napari's window with the plugin and scans; one that cannot be read is a message in the window.

    Args:
        scans: files and folders of DICOM series.
        bundle: to begin with, folder or name.
        checkpoint: trained weights to begin with; None: those of the bundle.
    """
    viewer = napari.Viewer(title=TITLE)
    widget = FewShotWidget(viewer, bundle, checkpoint)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    widget.drawn.open([str(path) for path in scans])
    return viewer, widget


def run(scans: Sequence[str], bundle: str | Path = "adnet", checkpoint: str | Path | None = None) -> None:
    """Open the window and stay until it is closed."""
    open_viewer(scans, bundle, checkpoint)
    napari.run()
