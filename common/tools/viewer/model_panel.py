"""The second page of the window: which model segments, and training one on the open scans."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, Container, Label, LineEdit, PushButton
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QFileDialog

from ...configuration.workflow import bundle_folder, shipped_bundles
from ...files.checkpoints import bundle_weights
from .layers import scan_of
from .session import Session
from .support_panel import SupportPanel, row
from .training import Training


class ModelPanel:
    """Bundle and weights, and ``fewshot train`` on the open scans.

    Args:
        drawn: the part of the window that holds the scans.
        bundle: to begin with, folder or name.
        checkpoint: trained weights to begin with; None: those of the bundle.
    """

    def __init__(self, drawn: SupportPanel, bundle: str | Path = "adnet", checkpoint: str | Path | None = None) -> None:
        self.drawn = drawn
        self.settings: list[str] = []  # further options of fewshot train
        self._session: tuple[Any, Session] | None = None
        self._training: Training | None = None
        folders = {folder.name: folder for folder in shipped_bundles()}
        first = bundle_folder(bundle)
        folders.setdefault(first.name, first)
        self.method = ComboBox(label="Method", choices=list(folders.items()), value=folders[first.name])
        self.weights = LineEdit(label="Weights", value="" if checkpoint is None else str(checkpoint))
        self.weights.tooltip = "file of trained weights; empty: those that the method has"
        self.choose = PushButton(text="Choose weights")
        self.folder = LineEdit(label="Runs in", value=str(Path("runs").absolute()))
        self.train = PushButton(text="Train on these scans", tooltip="on all open scans; labels are not needed")
        self.stop = PushButton(text="Stop", enabled=False)
        self.said = Label(value="")
        self.view = Container(
            widgets=[self.method, self.weights, self.choose, self.folder, row(self.train, self.stop), self.said]
        )
        self.said.native.setWordWrap(True)
        self.figure = Figure(figsize=(3.2, 2.2), layout="constrained")
        self.canvas = FigureCanvasQTAgg(self.figure)
        self.view.native.layout().addWidget(self.canvas)
        self.canvas.setVisible(False)
        self.choose.changed.connect(lambda _: self.choose_weights())
        self.train.changed.connect(lambda _: drawn.attempt(self.start))
        self.stop.changed.connect(lambda _: self.end())
        self.method.changed.connect(lambda _: self._forget_weights())

    @property
    def bundle(self) -> Path:
        """Folder of the chosen bundle."""
        return Path(self.method.value)

    def session(self) -> Callable[[], Session]:
        """Give what builds the chosen model, or returns the one that is there; to be called in the background."""
        path = Path(self.weights.value.strip() or bundle_weights(self.bundle))
        wanted = (self.bundle, path, path.stat().st_mtime_ns if path.is_file() else 0)

        def build() -> Session:
            if self._session is None or self._session[0] != wanted:
                self._session = None
                self._session = (wanted, Session(wanted[0], wanted[1]))
            return self._session[1]

        return build

    def choose_weights(self) -> None:
        """Ask for a file of trained weights."""
        path, _ = QFileDialog.getOpenFileName(self.view.native, "Choose weights", "", "Weights (*.pt)")
        if path:
            self.weights.value = path

    def start(self) -> None:
        """Train on all open scans.

        Raises:
            InputError: there is none.
        """
        if self._training is not None:
            return
        scans = [scan.path for _, layer in self.drawn.scans() if (scan := scan_of(layer)) is not None]
        training = Training(self.bundle, scans, Path(self.folder.value), self.settings)
        self._training, self._last = training, ""
        training.said.connect(self._show_line)
        training.learned.connect(self._show_curve)
        training.ended.connect(self._finish)
        self.train.enabled, self.stop.enabled = False, True
        self.said.value = f"training in {training.run}"
        training.start()

    def end(self) -> None:
        """Ask the training that is running to save and end."""
        if self._training is not None:
            self._training.stop()

    def _show_line(self, line: str) -> None:
        self._last = line
        self.said.value = line[:200]

    def _show_curve(self, steps: list[int], losses: list[float]) -> None:
        self.figure.clear()
        axes = self.figure.subplots()
        axes.plot(steps, losses, marker="o" if len(steps) == 1 else "")
        axes.set(xlabel="step", ylabel="loss")
        self.canvas.setVisible(True)
        self.canvas.draw_idle()

    def _finish(self, model: str) -> None:
        training, self._training = self._training, None
        self.train.enabled, self.stop.enabled = True, False
        if model:
            self.weights.value = model
            self.said.value = f"trained; these weights are chosen now: {model}"
            show_info("the training is done; its weights are chosen")
        elif training is not None and training.stopped:
            self.said.value = f"stopped; this goes on: {training.again}"
        else:
            show_error(f"the training failed: {self._last}")

    def _forget_weights(self) -> None:
        self.weights.value = ""
