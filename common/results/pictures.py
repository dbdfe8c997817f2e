"""What all pictures share: colours of organs, slices the radiological way, and files written whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from ..files.writing import whole_file

COLOURS = ["#e6862a", "#3f8fd2", "#4cb5a5", "#c75b9b", "#b8b42d", "#7a6bd1", "#d24b4b", "#6aa84f"]


def radiological(volume: NDArray, affine: NDArray) -> NDArray:
    """Bring ``(X, Y, Z)`` to rows, columns, slices with left, posterior and inferior at the far ends.

    Args:
        volume: slice axis last.
        affine: from voxels to RAS, mm.
    """
    axes = tuple(axis for axis, code in enumerate(aff2axcodes(affine)[:2]) if code in "RAS")
    return np.flip(volume, axes).swapaxes(0, 1)


def show_slice(
    panel: Axes, plane: NDArray, masks: Sequence[tuple[str, NDArray]], limits: NDArray, aspect: float = 1.0
) -> None:
    """Draw a slice ``(H, W)`` in grey under masks in colour.

    Args:
        panel: to draw into.
        plane: intensities.
        masks: colour and ``(H, W)`` of each.
        limits: intensities that are black and white.
        aspect: height of a pixel in widths.
    """
    panel.set_axis_off()
    panel.imshow(plane, cmap="gray", vmin=limits[0], vmax=max(limits[1], limits[0] + 1e-6), aspect=aspect)
    for colour, mask in masks:
        shown = np.ma.masked_equal(mask.astype(float), 0)
        panel.imshow(shown, cmap=ListedColormap([colour]), alpha=0.5, aspect=aspect, interpolation="nearest")


def save_figure(figure: Figure, output: str | Path, mark: str = "") -> Path:
    """Write a figure as PNG, whole or not at all, with the mark of the command that made it."""
    path = Path(output)
    with whole_file(path) as partial:
        FigureCanvasAgg(figure).print_png(str(partial), metadata={"Comment": mark})
    return path
