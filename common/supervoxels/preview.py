"""A picture to judge supervoxels by before training on them: slices under coloured segments, and segment sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries

from ..data.reading import file_name
from ..errors import InputError
from ..results.pictures import radiological, save_figure

_COLUMNS = 4
_ALPHA = 0.25  # weight of colour against intensity
_PANEL, _CHART = 3.0, 2.4  # inches: width of a slice, height of the histogram


def preview(
    image: MetaTensor, supervoxels: MetaTensor, path: str | Path, min_size: int = 0, slices: int = 12, mark: str = ""
) -> Path:
    """Write a PNG with evenly chosen slices of the body, each with its supervoxels, and a histogram of their sizes.

    Slices are cropped to the body and shown the radiological way: left, posterior or inferior to the right or below.

    Args:
        image: ``(1, X, Y, Z)`` with the slice axis last.
        supervoxels: ``(1, X, Y, Z)``, 0 for air.
        path: PNG to write; its folder is made.
        min_size: smallest size asked for, in voxels, drawn into the histogram; 0 draws none.
        slices: greatest number of slices.
        mark: of the command that draws.

    Returns:
        ``path``.

    Raises:
        InputError: shapes that differ, or no supervoxel.
    """
    name = file_name(image)
    if image.shape != supervoxels.shape:
        raise InputError(f"{name}: image {tuple(image.shape)} but supervoxels {tuple(supervoxels.shape)}; rebuild them")
    affine = image.affine.numpy(force=True)
    volume, labels = (radiological(array[0].numpy(force=True), affine) for array in (image, supervoxels))
    body = labels > 0
    if not body.any():
        raise InputError(f"{name}: no supervoxel to show; build them with a lower foreground_threshold")
    rows, columns, depths = (np.flatnonzero(body.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shown = depths[np.linspace(0, len(depths) - 1, min(slices, len(depths))).round().astype(int)]

    spacing = affine_to_spacing(affine, r=3)
    aspect = float(spacing[1] / spacing[0])
    panel_rows = -(-len(shown) // _COLUMNS)
    height = _PANEL * panel_rows * aspect * (rows[-1] - rows[0] + 1) / (columns[-1] - columns[0] + 1)
    figure = Figure(figsize=(_PANEL * _COLUMNS, height + _CHART), dpi=110, layout="constrained")
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, _CHART]).flat
    dark, bright = volume.min(), np.percentile(volume[body], 99.5)
    grey = np.clip((volume - dark) / max(bright - dark, 1e-6), 0, 1)
    colours = _colours(int(labels.max()))
    panels = upper.subplots(panel_rows, _COLUMNS, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, index in zip(panels.flat, shown, strict=False):
        axes.imshow(_coloured(grey[..., index][window], labels[..., index][window], colours), aspect=aspect)
        axes.text(0.02, 0.98, f"slice {index}", color="white", fontsize=9, va="top", transform=axes.transAxes)
    _histogram(lower, np.bincount(labels[body])[1:], min_size)
    return save_figure(figure, path, mark)


def _colours(count: int) -> NDArray[np.float64]:
    """Give ``(count, 3)`` colours of which neighbours in number differ in hue: steps of the golden section."""
    hues = np.arange(count) * 0.6180339887498949 % 1
    return hsv_to_rgb(np.stack([hues, np.full(count, 0.75), np.full(count, 1.0)], axis=1))


def _coloured(grey: NDArray, labels: NDArray, colours: NDArray) -> NDArray:
    """Blend ``(H, W)`` intensities in [0, 1] with coloured segments; their borders are drawn in full colour."""
    body = labels > 0
    border = body & find_boundaries(labels, mode="inner")
    picture = np.repeat(grey[..., None], 3, axis=2)
    picture[body] = (1 - _ALPHA) * picture[body] + _ALPHA * colours[labels[body] - 1]
    picture[border] = colours[labels[border] - 1]
    return picture


def _histogram(figure: SubFigure, sizes: NDArray, min_size: int) -> None:
    sizes = sizes[sizes > 0]
    axes = figure.subplots()
    bins = np.geomspace(sizes.min(), max(sizes.max(), sizes.min() + 1), 31).tolist()
    axes.hist(sizes, bins=bins, color="#4477aa", edgecolor="white", linewidth=0.6)
    if min_size > 0:
        axes.axvline(min_size, color="#cc3311", linestyle="--", label=f"min_size {min_size:,} (before removing air)")
        axes.legend(frameon=False)
    axes.set_xscale("log")
    axes.set_xlabel("size in voxels")
    axes.set_ylabel("supervoxels")
    axes.set_title(f"{len(sizes)} supervoxels, median {np.median(sizes):,.0f} voxels", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
