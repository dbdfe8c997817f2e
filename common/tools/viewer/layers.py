"""Scans, drawings and answers as napari's layers, in a world of R, A and S in mm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from napari.utils.notifications import show_error, show_info
from numpy.typing import NDArray

from ...data.dicom.series import holds_series
from ...errors import InputError, one_line, user_mistake
from ...results.pictures import COLOURS
from .scans import OBLIQUE, Scan, contrast_limits, open_scan, straight_affine, tilt

_SCAN = "fewshot_scan"  # key of a layer's metadata
_AXES = ("R", "A", "S")


def get_reader(path: str | list[str]) -> Callable[[str], list[tuple[Any, ...]]] | None:
    """Give napari the reader of a scan, None for a folder that is no DICOM series and for a stack of files."""
    if isinstance(path, list):
        return None
    return None if Path(path).is_dir() and not holds_series(Path(path)) else read_layers


def read_layers(path: str) -> list[tuple[Any, ...]]:
    """Read a scan as napari's layer data; one that cannot be read is a message in the window and no layer."""
    try:
        scan = open_scan(path)
        tell_tilted([scan])
        return [scan_layer(scan).as_layer_data_tuple()]
    except Exception as error:
        tell_mistake(error)
        return [(None,)]  # napari's sign for nothing to add


def tell_mistake(error: BaseException) -> None:
    """Show what went wrong as one line in the window.

    Raises:
        BaseException: the error itself, where it is a fault of the program.
    """
    mistake = user_mistake(error)
    if mistake is None:
        raise error
    show_error(one_line(mistake))


def scan_layer(scan: Scan) -> Image:
    """Make a layer of a scan; a tilted one is shown straight, see ``tell_tilted``."""
    return Image(scan.voxels, name=scan.name, contrast_limits=contrast_limits(scan.voxels), **_placed(scan))


def tell_tilted(scans: Sequence[Scan]) -> None:
    """Say which scans lie askew in the world and are shown along their own slices."""
    tilted = [f"{scan.name} (by {tilt(scan.affine):.1f} degrees)" for scan in scans if tilt(scan.affine) >= OBLIQUE]
    if tilted:
        show_info(f"tilted, and shown along its own slices; saved in its true place: {', '.join(tilted)}")


def drawing_layer(scan: Scan, values: NDArray[np.integer], name: str, names: Mapping[int, str]) -> Labels:
    """Make a layer of label values ``(X, Y, Z)`` that lie on a scan's grid."""
    layer = Labels(values, name=name, opacity=0.5, **_placed(scan))
    show_organs(layer, names)
    return layer


def confidence_layer(scan: Scan, confidence: NDArray, name: str) -> Image:
    """Make a layer, hidden at first, of foreground probabilities ``(X, Y, Z)``."""
    options: dict[str, Any] = {"contrast_limits": (0.0, 1.0), "colormap": "inferno", "blending": "additive"}
    return Image(confidence, name=name, visible=False, **{**_placed(scan), **options, "metadata": {}})


def show_organs(layer: Labels, names: Mapping[int, str]) -> None:
    """Give a layer the organs' colours and names; napari shows the name of the one under the mouse."""
    layer.colormap = DirectLabelColormap(color_dict={**_colours(range(1, 256)), 0: "transparent", None: "white"})
    layer.features = {"index": [0, *names], "organ": ["background", *names.values()]}


def scan_of(layer: Layer | None) -> Scan | None:
    """Return the scan that a layer shows or lies on; None for layers of other origin."""
    return None if layer is None else layer.metadata.get(_SCAN)


def drawn_on(scan_layer: Layer, drawing: Labels) -> NDArray[np.integer]:
    """Return what is drawn on a scan.

    Raises:
        InputError: the drawing has another shape, or lies elsewhere in the world.
    """
    scan, values = scan_of(scan_layer), np.asarray(drawing.data)
    if scan is None:
        raise InputError(f"{scan_layer.name}: not opened as a medical scan; open its file with Open scans")
    if values.shape != scan.voxels.shape:
        raise InputError(
            f"{drawing.name}: its shape {values.shape} is not that of {scan_layer.name}, {scan.voxels.shape}; draw on "
            "the layer that Draw on this scan makes"
        )
    placed, known = (layer._data_to_world.affine_matrix for layer in (drawing, scan_layer))
    if not np.allclose(placed, known, atol=1e-3):
        raise InputError(
            f"{drawing.name}: lies elsewhere than {scan_layer.name}; draw on the layer that Draw on this scan makes"
        )
    return values


def _placed(scan: Scan) -> dict[str, Any]:
    return {
        "affine": straight_affine(scan.affine),
        "axis_labels": _AXES,
        "units": ("mm",) * 3,
        "metadata": {_SCAN: scan},
    }


def _colours(values: range) -> dict[int | None, str]:
    return {value: COLOURS[(value - 1) % len(COLOURS)] for value in values}
