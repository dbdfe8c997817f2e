"""The picture of docs/how-to/napari.md, from a real window: ``python -m tests.viewer.screenshot FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

from common.data import make_phantom
from common.tools.viewer.start import open_viewer
from tests.viewer.hand import Hand

SIZE = (1280, 820)


def take(path: Path) -> None:
    """Open two phantom subjects, segment the second with the first as support, and take the picture."""
    folder = make_phantom(subjects=3)
    scans = [str(folder / "imagesTr" / f"phantom_0{number}.nii.gz") for number in (1, 2)]
    viewer, widget = open_viewer(scans)
    viewer.window.resize(*SIZE)
    hand = Hand(viewer, widget)
    widget.drawn.scan.value = viewer.layers["phantom_01"]
    widget.drawn.add_label(folder / "labelsTr" / "phantom_01.nii.gz")
    hand.press(widget.drawn.add)
    widget.answers.largest.value = True
    hand.segment()
    for layer in viewer.layers:
        layer.visible = layer.name in ("phantom_02", "phantom_02 answer")
    label = viewer.layers["phantom_02 answer"]
    middle = label.data_to_world([size / 2 for size in label.data.shape])
    viewer.dims.set_point(2, middle[2])
    viewer.reset_view()
    hand.settle(6)  # napari's messages fade
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]))
