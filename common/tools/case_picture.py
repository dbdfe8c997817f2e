"""Pictures of results: predictions in colour, reference outlines in white, on the scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from monai.data import MetaTensor
from monai.transforms import Orientation

from ..data.reading import read_label, read_scan
from ..results.pictures import COLOURS, save_figure


def draw_overlay(
    image: str | Path | MetaTensor,
    prediction: str | Path | MetaTensor,
    output: str | Path,
    label: str | Path | MetaTensor | None = None,
    organ_names: dict[str, int] | None = None,
    columns: int = 6,
) -> Path:
    """Draw axial slices through the organs of one segmented scan.

    Args:
        image: scan; a file, or a volume ``(1, X, Y, Z)`` with its affine, as the other two.
        prediction: its predicted label map.
        output: PNG to write.
        label: reference label map, drawn as white outlines.
        organ_names: names to label values, for the legend.
        columns: number of slices.

    Returns:
        Path of the PNG.
    """
    scan, predicted = _axial(image, read_scan), _axial(prediction, read_label)
    reference = predicted if label is None else _axial(label, read_label)
    organs = [int(value) for value in np.unique(np.concatenate([predicted.ravel(), reference.ravel()])) if value > 0]
    names = {int(value): name for name, value in (organ_names or {}).items()}
    occupied = np.flatnonzero(((predicted > 0) | (reference > 0)).any(axis=(0, 1)))
    if occupied.size == 0:
        occupied = np.arange(scan.shape[2])
    chosen = occupied[np.linspace(0, occupied.size - 1, columns + 2).round().astype(int)[1:-1]]
    window = _body_window(scan)
    low, high = np.percentile(scan, [1, 99.5])

    height, width = _upright(scan[..., 0], window).shape
    figure = Figure(figsize=(2.2 * columns, 4.4 * height / width + 0.8), facecolor="black", layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    for column, index in enumerate(chosen):
        for row in range(2):
            panel = axes[row, column]
            panel.set_axis_off()
            panel.imshow(_upright(scan[..., index], window), cmap="gray", vmin=low, vmax=high)
        panel = axes[1, column]
        for number, organ in enumerate(organs):
            colour = COLOURS[number % len(COLOURS)]
            mask = _upright(predicted[..., index] == organ, window)
            panel.imshow(np.ma.masked_equal(mask, 0), cmap=ListedColormap([colour]), alpha=0.6, interpolation="nearest")
            drawn = _upright(reference[..., index] == organ, window)
            if label is not None and drawn.any():
                panel.contour(drawn, [0.5], colors="white", linewidths=0.8)
        axes[0, column].set_title(f"slice {index}", color="white", fontsize=9)
    handles = [Patch(color=COLOURS[i % len(COLOURS)], label=names.get(o, str(o))) for i, o in enumerate(organs)]
    if label is not None:
        handles.append(Patch(facecolor="black", edgecolor="white", label="reference outline"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), labelcolor="white", frameon=False)
    return save_figure(figure, output)


def _axial(source: str | Path | MetaTensor, read: Callable[[str | Path], MetaTensor]) -> np.ndarray:
    volume = source if isinstance(source, MetaTensor) else read(source)
    return np.asarray(Orientation(axcodes="LAS", labels=None)(volume)[0])


def _upright(plane: np.ndarray, window: tuple[slice, slice]) -> np.ndarray:
    """Radiological view: the patient's right on the left of the picture, anterior up; stored axes are L, A."""
    return plane[window].T[::-1].astype(float)


def _body_window(scan: np.ndarray) -> tuple[slice, slice]:
    """In-plane box around everything brighter than a tenth of the range."""
    low, high = np.percentile(scan, [1, 99])
    bright = (scan > low + 0.1 * (high - low)).any(axis=2)
    spans = [np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0)]
    return tuple(slice(span[0], span[-1] + 1) if span.size else slice(None) for span in spans)  # type: ignore
