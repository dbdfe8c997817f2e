"""What a person does in the window: press buttons, choose layers, paint with the mouse."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication


class Hand:
    """A window and its plugin.

    Args:
        viewer: napari's.
        widget: the plugin's.
    """

    def __init__(self, viewer: Any, widget: Any) -> None:
        self.viewer = viewer
        self.widget = widget
        self.settle()

    def settle(self, seconds: float = 0.2) -> None:
        """Let Qt work for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def wait(self, condition: Any, seconds: float = 120) -> None:
        """Let Qt work until something holds."""
        end = time.monotonic() + seconds
        while not condition():
            self.settle(0.02)
            assert time.monotonic() < end, "nothing happened in the window"

    def press(self, button: Any) -> None:
        """Click a button of the plugin."""
        QTest.mouseClick(button.native, Qt.MouseButton.LeftButton)
        self.settle()

    def segment(self) -> None:
        """Press Segment and wait for the end."""
        self.press(self.widget.answers.segment)
        self.wait(lambda: not self.widget.answers.busy)

    def layer(self, name: str) -> Any:
        """Choose a layer in the list."""
        self.viewer.layers.selection.active = self.viewer.layers[name]
        return self.viewer.layers[name]

    def paint(self, layer: Any, voxels: list[tuple[int, int, int]]) -> None:
        """Draw a line through voxels of one slice with napari's brush."""
        world = [layer.data_to_world(voxel) for voxel in voxels]
        self.viewer.dims.set_point(2, world[0][2])
        canvas = self.viewer.window._qt_viewer.canvas

        def seen() -> list[QPoint]:
            transform = canvas.view.transform * canvas.view.scene.transform
            return [QPoint(*(round(float(part)) for part in transform.map([x, y])[:2])) for x, y, _ in world]

        places: list[QPoint] = []
        while places != (places := seen()):  # a window that has just opened still finds its size
            self.settle(0.5)
        native, left = canvas.native, Qt.MouseButton.LeftButton
        QTest.mousePress(native, left, Qt.KeyboardModifier.NoModifier, places[0])
        for place in places:
            QTest.mouseMove(native, place)
            self.settle(0.05)
        QTest.mouseRelease(native, left, Qt.KeyboardModifier.NoModifier, places[-1])
        self.settle()


def across(mask: Any, slice_number: int, step: int = 4) -> list[tuple[int, int, int]]:
    """Voxels along the long middle row of a mask ``(X, Y, Z)`` on one slice."""
    x, y = np.nonzero(mask[..., slice_number])
    row = int(np.median(y))
    return [(int(i), row, slice_number) for i in sorted(x[y == row])[1:-1:step]]
