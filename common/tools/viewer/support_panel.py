"""The upper part of the window: open scans, draw organs, and say which drawings are the support."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, Container, LineEdit, PushButton, Select
from napari import Viewer
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QFileDialog

from ...errors import InputError
from .layers import drawing_layer, drawn_on, scan_layer, scan_of, show_organs, tell_mistake, tell_tilted
from .scans import open_label, open_scan
from .session import Drawn

_BRUSH = 8  # voxels
_FILES = "Scans (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd);;All files (*)"


class SupportPanel:
    """Scans, drawings, organs and the support of one viewer.

    Args:
        viewer: whose layers are offered.

    Attributes:
        view: the widgets.
        names: organs by label value, the same for all drawings.
        pairs: layers of the support, a scan and its drawing each; what they hold when *Segment* is pressed counts.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.names: dict[int, str] = {1: "organ 1"}
        self.pairs: list[tuple[Image, Labels]] = []
        self.open_files = PushButton(text="Open scans")
        self.open_folder = PushButton(text="Open DICOM folder")
        self.scan = ComboBox(label="Scan", choices=lambda _: self.scans())
        self.drawing = ComboBox(label="Drawing", choices=lambda _: self.drawings())
        self.draw = PushButton(text="Draw on this scan")
        self.open_label = PushButton(text="Open label map")
        self.organ = ComboBox(label="Organ", choices=lambda _: [(name, value) for value, name in self.names.items()])
        self.name = LineEdit(label="Name", tooltip="Enter renames the organ that is chosen")
        self.another = PushButton(text="Another organ")
        self.add = PushButton(text="Add to support")
        self.remove = PushButton(text="Remove")
        self.support = Select(label="Support", choices=lambda _: self._support_choices())
        self.view = Container(
            widgets=[
                row(self.open_files, self.open_folder),
                self.scan,
                row(self.draw, self.open_label),
                self.drawing,
                self.organ,
                self.name,
                self.another,
                row(self.add, self.remove),
                self.support,
            ]
        )
        self.support.native.setMaximumHeight(64)
        for button, action in (
            (self.open_files, self.choose_files),
            (self.open_folder, self.choose_folder),
            (self.draw, self.start_drawing),
            (self.open_label, self.choose_label),
            (self.another, self.add_organ),
            (self.add, self.add_chosen),
            (self.remove, self.remove_chosen),
        ):
            button.changed.connect(lambda _=None, action=action: self.attempt(action))
        self.organ.changed.connect(lambda _: self._use_organ())
        self.drawing.changed.connect(lambda _: self._use_organ())
        self.name.changed.connect(lambda text: self.rename_organ(text))
        for event in (viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.events.renamed):
            event.connect(lambda _: self.refresh())

    def attempt(self, action: Any) -> None:
        """Do what a button says; a person's mistake is a message in the window."""
        try:
            action()
        except Exception as error:
            tell_mistake(error)

    def scans(self) -> list[tuple[str, Layer]]:
        """Open scans."""
        return [(one.name, one) for one in self.viewer.layers if isinstance(one, Image) and scan_of(one)]

    def drawings(self) -> list[tuple[str, Layer]]:
        """Open label maps."""
        return [(one.name, one) for one in self.viewer.layers if isinstance(one, Labels)]

    def refresh(self) -> None:
        """Offer the layers that are there now."""
        self.pairs = [pair for pair in self.pairs if all(layer in self.viewer.layers for layer in pair)]
        for box in (self.scan, self.drawing, self.support):
            box.reset_choices()

    def open(self, paths: list[str]) -> None:
        """Add scans as layers, axial slices with the front up and the patient's right on the left."""
        opened = []
        for path in paths:
            try:
                opened.append(open_scan(path))
            except Exception as error:
                tell_mistake(error)
        for scan in opened:
            self.viewer.add_layer(scan_layer(scan))
        tell_tilted(opened)
        show_axial(self.viewer)

    def choose_files(self) -> None:
        """Ask for files."""
        paths, _ = QFileDialog.getOpenFileNames(self.view.native, "Open scans", "", _FILES)
        self.open(paths)

    def choose_folder(self) -> None:
        """Ask for a folder of a DICOM series."""
        path = QFileDialog.getExistingDirectory(self.view.native, "Open the folder of a DICOM series")
        self.open([path] if path else [])

    def choose_label(self) -> None:
        """Ask for a label map of the chosen scan."""
        self._chosen_scan()
        path, _ = QFileDialog.getOpenFileName(self.view.native, "Open label map", "", _FILES)
        if path:
            self.add_label(path)

    def add_label(self, path: str | Path) -> Labels:
        """Add a label map of the chosen scan as a drawing, with the names that come with it.

        Raises:
            InputError: it cannot be read, lies on another grid, or calls a label value otherwise than a drawing does.
        """
        layer = self._chosen_scan()
        scan = scan_of(layer)
        assert scan is not None
        values, names = open_label(path, scan)
        self._learn(names, {int(value) for value in np.unique(values)} - {0}, str(path))
        return self._show(drawing_layer(scan, values, f"{scan.name} label", self.names))

    def start_drawing(self) -> Labels:
        """Add an empty drawing of the chosen scan, napari's brush in hand."""
        scan = scan_of(self._chosen_scan())
        assert scan is not None
        empty = np.zeros(scan.voxels.shape, np.int32)
        layer = self._show(drawing_layer(scan, empty, f"{scan.name} drawing", self.names))
        layer.brush_size = _BRUSH
        layer.mode = "paint"
        return layer

    def add_organ(self) -> None:
        """Take the next label value for another organ."""
        value = max(self.names) + 1
        self.names[value] = f"organ {value}"
        self._show_names(value)

    def rename_organ(self, name: str) -> None:
        """Call the chosen organ by its name."""
        value = self.organ.value
        if name.strip() and value in self.names and self.names[value] != name.strip():
            self.names[value] = name.strip()
            self._show_names(value)

    def add_chosen(self) -> None:
        """Make the chosen scan and drawing part of the support.

        Raises:
            InputError: nothing is drawn, or the drawing does not fit the scan.
        """
        self.add_pair(self._chosen_scan(), self.drawing.value)

    def add_pair(self, scan: Image, drawing: Labels | None) -> None:
        """Make a scan and its drawing part of the support; see ``add_chosen``."""
        if drawing is None:
            raise InputError(f"{scan.name}: no drawing; press Draw on this scan, or open a label map")
        if not drawn_on(scan, drawing).any():
            raise InputError(f"{drawing.name}: nothing is drawn; paint the organ on one slice at least")
        self.pairs = [pair for pair in self.pairs if pair[0] is not scan] + [(scan, drawing)]
        self.support.reset_choices()

    def remove_chosen(self) -> None:
        """Take what is chosen out of the support; the layers stay."""
        chosen = [id(drawing) for drawing in self.support.value]
        self.pairs = [pair for pair in self.pairs if id(pair[1]) not in chosen]
        self.support.reset_choices()

    def supports(self) -> list[Drawn]:
        """Copy what is drawn now; without a support the chosen scan and drawing become it.

        Raises:
            InputError: as for ``add_pair``.
        """
        if not self.pairs:
            self.add_chosen()
            show_info(f"support: {self.pairs[0][1].name}")
        found = []
        for layer, drawing in self.pairs:
            scan, values = scan_of(layer), drawn_on(layer, drawing)
            assert scan is not None
            found.append(Drawn(scan, scan.label_map(values, drawing.name)))
        return found

    def _chosen_scan(self) -> Image:
        if self.scan.value is None:
            raise InputError("no scan: open one with Open scans")
        return self.scan.value

    def _learn(self, names: Mapping[int, str], drawn: set[int], source: str) -> None:
        for value in sorted(drawn):
            known, name = self.names.get(value, f"organ {value}"), names.get(value)
            if name is not None and known not in (name, f"organ {value}"):
                raise InputError(f"{source}: label value {value} is {name}, and {known} here; rename it here first")
            self.names[value] = name or known
        self.names = dict(sorted(self.names.items()))
        self._show_names(min(drawn, default=min(self.names)))

    def _show_names(self, value: int) -> None:
        self.organ.reset_choices()
        self.organ.value = value
        for _, layer in self.drawings():
            show_organs(layer, self.names)
        self.support.reset_choices()
        self._use_organ()

    def _use_organ(self) -> None:
        value = self.organ.value
        if value is None:
            return
        with self.name.changed.blocked():
            self.name.value = self.names[value]
        if self.drawing.value is not None:
            self.drawing.value.selected_label = value

    def _show(self, layer: Labels) -> Labels:
        self.viewer.add_layer(layer)
        self.viewer.layers.selection.active = layer
        self.drawing.value = layer
        self._use_organ()
        return layer

    def _support_choices(self) -> list[tuple[str, Layer]]:
        return [(f"{scan.name}: {self._drawn_names(drawing)}", drawing) for scan, drawing in self.pairs]

    def _drawn_names(self, drawing: Labels) -> str:
        values = [int(value) for value in np.unique(drawing.data) if value]
        return ", ".join(self.names.get(value, f"organ {value}") for value in values) or "nothing drawn"


def show_axial(viewer: Viewer) -> None:
    """Show axial slices as radiologists do: front up, the patient's right on the left."""
    viewer.dims.axis_labels = ("R", "A", "S")
    viewer.dims.order = (2, 1, 0)
    scene: Any = getattr(viewer, "scene", viewer)  # napari before 0.9 has the camera in the viewer
    scene.camera.orientation2d = ("up", "left")
    overlays: Any = viewer.canvas.overlays if hasattr(viewer, "canvas") else viewer  # likewise
    overlays.scale_bar.visible = True
    viewer.reset_view()


def row(*widgets: Any) -> Container:
    """Put widgets side by side."""
    return Container(widgets=list(widgets), layout="horizontal", labels=False)
