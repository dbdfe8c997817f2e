"""The dock widget *Few-shot segmentation*."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari import Viewer
from qtpy.QtWidgets import QScrollArea, QTabWidget, QVBoxLayout, QWidget

from .answer_panel import AnswerPanel
from .model_panel import ModelPanel
from .support_panel import SupportPanel


class FewShotWidget(QWidget):
    """Draw an organ on one scan, segment it in others, correct, go on.

    Args:
        napari_viewer: the window.
        bundle: to begin with, folder or name.
        checkpoint: trained weights to begin with; None: those of the bundle.

    Attributes:
        drawn: scans, drawings, support.
        model: method, weights, training.
        answers: segmentation and its answers.
    """

    def __init__(
        self, napari_viewer: Viewer, bundle: str | Path = "adnet", checkpoint: str | Path | None = None
    ) -> None:
        super().__init__()
        self.drawn = SupportPanel(napari_viewer)
        self.model = ModelPanel(self.drawn, bundle, checkpoint)
        self.answers = AnswerPanel(self.drawn, self.model)
        pages = QTabWidget()
        pages.addTab(_page(self.drawn.view.native, self.answers.view.native), "Segment")
        pages.addTab(_page(self.model.view.native), "Model")
        QVBoxLayout(self).addWidget(pages)
        self.drawn.refresh()

    def closeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """End what runs in the background."""
        self.answers.stop()
        self.model.end()
        super().closeEvent(event)


def _page(*parts: QWidget) -> QScrollArea:
    inner = QWidget()
    layout = QVBoxLayout(inner)
    for part in parts:
        layout.addWidget(part)
    layout.addStretch()
    page = QScrollArea()
    page.setWidget(inner)
    page.setWidgetResizable(True)
    return page
