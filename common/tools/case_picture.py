"""Pictures of results: predictions in colour, reference outlines in white, on the scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from monai.data import MetaTensor
from monai.transforms import Orientation
from monai.transforms.utils import generate_spatial_bounding_box
from numpy.typing import NDArray

from ..data.reading import read_label, read_scan
from ..results.pictures import COLOURS, radiological, save_figure, show_slice


def draw_case(
    image: str | Path | MetaTensor,
    prediction: str | Path | MetaTensor,
    output: str | Path,
    label: str | Path | MetaTensor,
    organ_names: dict[str, int],
    columns: int = 6,
) -> Path:
    """Draw axial slices through the organs of one segmented scan, cropped to the body.

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
    scan, predicted, reference = _axial(image, read_scan), _axial(prediction, read_label), _axial(label, read_label)
    organs = [int(value) for value in np.union1d(predicted, reference) if value > 0]
    colours = {organ: COLOURS[number % len(COLOURS)] for number, organ in enumerate(organs)}
    names = {value: name for name, value in organ_names.items()}
    occupied = np.flatnonzero(((predicted > 0) | (reference > 0)).any(axis=(0, 1)))
    occupied = occupied if occupied.size else np.arange(scan.shape[2])
    chosen = occupied[np.linspace(0, occupied.size - 1, columns + 2).round().astype(int)[1:-1]]
    low, high = np.percentile(scan, [1, 99])
    start, end = generate_spatial_bounding_box(scan[None], lambda volume: volume > low + 0.1 * (high - low))
    window = np.s_[start[0] : end[0], start[1] : end[1]] if end[0] > start[0] else np.s_[:, :]
    limits = np.percentile(scan, [1, 99.5])

    height, width = scan[..., 0][window].shape
    figure = Figure(figsize=(2.2 * columns, 4.4 * height / width + 0.8), facecolor="black", layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    for index, (above, below) in zip(chosen, axes.T, strict=True):
        plane, found, drawn = (volume[..., index][window] for volume in (scan, predicted, reference))
        above.set_title(f"slice {index}", color="white", fontsize=9)
        show_slice(above, plane, [], limits)
        show_slice(below, plane, [(colour, found == organ) for organ, colour in colours.items()], limits)
        for organ in np.intersect1d(drawn, organs):
            below.contour((drawn == organ).astype(float), [0.5], colors="white", linewidths=0.8)
    handles = [Patch(color=colour, label=names.get(organ, str(organ))) for organ, colour in colours.items()]
    handles.append(Patch(facecolor="black", edgecolor="white", label="reference outline"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), labelcolor="white", frameon=False)
    return save_figure(figure, output)


def _axial(source: str | Path | MetaTensor, read: Callable[[str | Path], MetaTensor]) -> NDArray:
    """Bring a volume to rows, columns and axial slices, the patient's right on the left, anterior up."""
    volume = Orientation(axcodes="LAS", labels=None)(source if isinstance(source, MetaTensor) else read(source))
    return radiological(volume[0].numpy(force=True), volume.affine.numpy())
