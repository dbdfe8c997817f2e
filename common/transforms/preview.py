"""A picture to judge an answer by: the drawn slice that asked for it, and slices of the answer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform, Orientation
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from ..data.reading import file_name, read_scan
from ..errors import in_server
from .extent import cut_axis
from .saving import answer_file

ENDING = "preview.png"
_ANSWERS = 3  # slices of the answer for each organ
_PANEL = 2.6  # inches


class SavePreviewd(MapTransform):
    """Write ``<answer>_preview.png``: a row for each organ, the support's drawn slice and three slices of the answer.

    The answer's slices lie at a quarter, the middle and three quarters of the organ. The support is shown as the
    network saw it, the answer on the scan's own grid. In a MONAI Label server nothing is written.

    Args:
        keys: key of the label map on the stored grid ``(1, X, Y, Z)``; ``image`` is the query as the network saw it,
            with the support in its meta.
        names: organs by label value.
    """

    def __init__(self, keys: KeysCollection, names: Mapping[int, str]) -> None:
        super().__init__(keys)
        self.names = names

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged; ``answer`` and ``mark`` are those of ``name_answers``.

        Raises:
            WriteError: the disk is full or cannot be written to.
        """
        if not in_server():
            for key in self.key_iterator(data):
                self._write(data, data["image"], data[key])
        return dict(data)

    def _write(self, data: Mapping[Hashable, Any], image: MetaTensor, label: MetaTensor) -> None:
        from matplotlib.figure import Figure

        from ..results.pictures import COLOURS, radiological, save_figure, show_slice

        orient = Orientation(axcodes="".join(aff2axcodes(image.affine.numpy())), labels=None)
        scan, answer = orient(read_scan(file_name(image))), orient(label)
        planes = [radiological(volume[0].numpy(force=True), scan.affine.numpy()) for volume in (scan, answer)]
        affine = image.affine.numpy()
        organs = torch.as_tensor(image.meta["support_organs"]).flatten().tolist()
        figure = Figure(
            figsize=(_PANEL * (1 + _ANSWERS), _PANEL * len(organs)), facecolor="black", layout="constrained"
        )
        panels = figure.subplots(len(organs), 1 + _ANSWERS, squeeze=False)
        for row, organ in enumerate(organs):
            colour = COLOURS[row % len(COLOURS)]
            plane, drawn = (radiological(part[..., None], affine)[..., 0] for part in _drawn_slice(image, organ))
            shown = [("support", plane, drawn, _aspect(affine))]
            name = self.names.get(organ, f"organ {organ}")
            panels[row, 0].text(0.02, 0.02, name, color=colour, fontsize=10, transform=panels[row, 0].transAxes)
            for index in _chosen(planes[1] == organ):
                title = f"slice {_stored_number(index, label, scan, cut_axis(image))}"
                mask = planes[1][..., index] == organ
                title += "" if mask.any() else ": not found"
                shown.append((title, planes[0][..., index], mask, _aspect(scan.affine.numpy())))
            for panel, (title, plane, mask, aspect) in zip(panels[row], shown, strict=True):
                show_slice(panel, plane, [(colour, mask)], np.percentile(plane, [1, 99.5]), aspect)
                panel.set_title(title, color="white", fontsize=9)
        save_figure(figure, answer_file(data, ENDING), str(data["mark"]))


def _drawn_slice(image: MetaTensor, organ: int) -> tuple[NDArray, NDArray]:
    """Return the slice ``(X, Y)`` of the supports with most of an organ, and the organ on it."""
    best: tuple[NDArray, NDArray] | None = None
    for scan, label in zip(image.meta["support_image"], image.meta["support_label"], strict=True):
        mask = (label[0] == organ).numpy(force=True)
        index = int(mask.sum((0, 1)).argmax())
        if best is None or mask[..., index].sum() > best[1].sum():
            best = scan[0, ..., index].numpy(force=True), mask[..., index]
    if best is None:
        raise RuntimeError("a query carries its support")
    return best


def _chosen(mask: NDArray) -> list[int]:
    """Choose slices at a quarter, the middle and three quarters of the slices that show an organ, or of all."""
    slices = np.flatnonzero(mask.any((0, 1)))
    slices = slices if slices.size else np.arange(mask.shape[2])
    return [int(slices[round(part * (slices.size - 1))]) for part in np.linspace(0, 1, _ANSWERS + 2)[1:-1]]


def _stored_number(index: int, stored: MetaTensor, oriented: MetaTensor, axis: int) -> int:
    """Number a slice as viewers and the summary do, along the stored axis."""
    turned = float(stored.affine[:3, axis] @ oriented.affine[:3, 2]) < 0
    return stored.shape[1 + axis] - 1 - index if turned else index


def _aspect(affine: NDArray) -> float:
    spacing = affine_to_spacing(affine, r=3)
    return float(spacing[1] / spacing[0])
