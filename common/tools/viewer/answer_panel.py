"""The middle part of the window: segment scans, look at answers, make them supports, save them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox, Container, Label, ProgressBar, PushButton, Select
from napari.layers import Image, Labels
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtWidgets import QFileDialog

from ...errors import InputError
from .layers import confidence_layer, drawing_layer, drawn_on, scan_of
from .model_panel import ModelPanel
from .saving import save_label
from .session import Answer, warnings_of_common
from .support_panel import SupportPanel, row
from .work import Segmentation

_MADE = "fewshot_made"  # key of a layer's metadata: the answer as it was before anyone corrected it


class AnswerPanel:
    """Segmentation of the scans of one viewer, and what is done with its answers.

    Args:
        drawn: the part of the window that holds scans and support.
        model: the part that holds the chosen model.
    """

    def __init__(self, drawn: SupportPanel, model: ModelPanel) -> None:
        self.drawn = drawn
        self.viewer = drawn.viewer
        self.model = model
        self._work: Segmentation | None = None
        self.scans = Select(label="Scans", choices=lambda _: drawn.scans())
        self.largest = CheckBox(text="Largest piece of each organ only", value=False)
        self.segment = PushButton(text="Segment")
        self.cancel = PushButton(text="Cancel", enabled=False)
        self.progress = ProgressBar(value=0, max=1000)
        self.said = Label(value="")
        self.use = PushButton(text="Use as support")
        self.save = PushButton(text="Save")
        self.view = Container(
            widgets=[
                self.scans,
                self.largest,
                row(self.segment, self.cancel),
                self.progress,
                self.said,
                row(self.use, self.save),
            ]
        )
        self.scans.native.setMaximumHeight(64)
        self.said.native.setWordWrap(True)
        self.segment.changed.connect(lambda _: drawn.attempt(self.start))
        self.cancel.changed.connect(lambda _: self.stop())
        self.use.changed.connect(lambda _: drawn.attempt(self.use_as_support))
        self.save.changed.connect(lambda _: drawn.attempt(self.choose_file))
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.connect(lambda _: self.scans.reset_choices())

    @property
    def busy(self) -> bool:
        """Whether a segmentation is running."""
        return self._work is not None

    def start(self) -> None:
        """Segment the chosen scans.

        Raises:
            InputError: nothing to segment, or a support that cannot be used.
        """
        if self.busy:
            return
        supports = self.drawn.supports()
        chosen = self._chosen()
        self._began = time.monotonic()
        self._work = work = Segmentation(self.model.session(), chosen, supports, 1 if self.largest.value else None)
        work.progressed.connect(self._show_progress)
        work.answered.connect(self.show_answer)
        work.failed.connect(show_error)
        work.ended.connect(self._end)
        self.segment.enabled, self.cancel.enabled = False, True
        self.said.value = "working"
        work.start()

    def stop(self) -> None:
        """End the segmentation that is running; drawings and answers stay as they are."""
        if self._work is not None:
            self._work.cancel()
            self.said.value = "is being cancelled"

    def show_answer(self, answer: Answer) -> None:
        """Show an answer as layers; one that a person has corrected is kept beside the new one."""
        scan = answer.scan
        values = answer.label.as_tensor()[0].numpy()
        confidence = answer.confidence.as_tensor()[0].numpy()
        for line in answer.warnings:
            show_warning(line)
        label, shown = self._layers_of(scan.name, values.shape)
        if label is None or shown is None:
            label = drawing_layer(scan, values.copy(), f"{scan.name} answer", self.drawn.names)
            shown = confidence_layer(scan, confidence, f"{scan.name} confidence")
            self.viewer.add_layer(shown)
            self.viewer.add_layer(label)
        else:
            label.data, shown.data = values.copy(), confidence
        label.metadata[_MADE] = values
        shown.metadata[_MADE] = label
        self.viewer.layers.selection.active = label

    def use_as_support(self) -> None:
        """Make the chosen answer, as it is now, part of the support.

        Raises:
            InputError: no answer is chosen, or it is empty.
        """
        label = self._active()
        scan = next((one for _, one in self.drawn.scans() if scan_of(one) is scan_of(label)), None)
        if scan is None:
            raise InputError(f"{label.name}: its scan is not open any more; open it again")
        self.drawn.add_pair(scan, label)
        show_info(f"{label.name} is part of the support")

    def choose_file(self) -> None:
        """Ask where to write the chosen label map."""
        scan = scan_of(self._active())
        assert scan is not None
        kinds = "NIfTI (*.nii.gz *.nii)" + (";;DICOM-SEG (*.dcm)" if scan.path.is_dir() else "")
        path, _ = QFileDialog.getSaveFileName(self.view.native, "Save", f"{scan.name}_seg.nii.gz", kinds)
        if path:
            self.write(path)

    def write(self, path: str | Path) -> None:
        """Write the chosen label map in its scan's geometry.

        Raises:
            InputError: none is chosen, its shape is another one, or the file cannot be of that name.
            WriteError: the disk is full or cannot be written to.
        """
        label = self._active()
        scan = scan_of(label)
        assert scan is not None
        shown = next((one for _, one in self.drawn.scans() if scan_of(one) is scan), None)
        values = np.asarray(label.data) if shown is None else drawn_on(shown, label)
        with warnings_of_common() as warnings:
            written = save_label(scan, scan.label_map(values, label.name), path, self.drawn.names, self.model.bundle)
        for line in warnings:
            show_warning(line)
        show_info(f"written: {written}")

    def _chosen(self) -> list[Any]:
        supports = [scan for scan, _ in self.drawn.pairs]
        layers = self.scans.value or [one for _, one in self.drawn.scans() if one not in supports]
        if not layers:
            raise InputError("no scan to segment: open another one with Open scans, or choose one in the list")
        return [scan_of(one) for one in layers]

    def _active(self) -> Labels:
        """The label map that is chosen in napari's list of layers."""
        layer = self.viewer.layers.selection.active
        if not isinstance(layer, Labels) or scan_of(layer) is None:
            raise InputError("choose an answer, or a drawing, in the list of layers")
        return layer

    def _layers_of(self, name: str, shape: tuple[int, ...]) -> tuple[Labels | None, Image | None]:
        """The layers of an answer that nobody has corrected and that is no support."""
        supports = [drawing for _, drawing in self.drawn.pairs]
        for shown in self.viewer.layers:
            label = shown.metadata.get(_MADE)
            if isinstance(label, Labels) and label in self.viewer.layers and label not in supports:
                made = label.metadata[_MADE]
                same = label.name == f"{name} answer" and made.shape == shape
                if same and np.array_equal(label.data, made):
                    return label, shown
        return None, None

    def _show_progress(self, done: int, number: int) -> None:
        self.progress.max, self.progress.value = number, done

    def _end(self, whole: bool) -> None:
        self._work = None
        self.progress.value = 0
        self.segment.enabled, self.cancel.enabled = True, False
        seconds = time.monotonic() - self._began
        self.said.value = f"done in {seconds:.1f} s" if whole else "cancelled; drawings and answers are as they were"
