"""On which slices of the query the organs lie: what protocol EP1 must know."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import nibabel as nib
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..data.monai_label.support import SLICES
from ..data.reading import file_name
from ..errors import InputError
from ..inferers.support import PROTOCOL

logger = logging.getLogger(__name__)

_ENDS = {"L": "left", "R": "right", "P": "posterior", "A": "anterior", "I": "inferior", "S": "superior"}


class QueryExtentd(MapTransform):
    """Tell protocol EP1 on which query slices each organ lies, from the label map or from a person.

    Writes ``query_extent`` into the query's meta: booleans ``(N, Z)`` in the order of ``support_organs``.
    Comes after ``LoadSupportd``; does nothing when neither source is there. A client of MONAI Label that tells slices
    (``StudySupportd``) asks for protocol EP1 by it, which is written into the meta too.

    Args:
        keys: key of the query image; ``label`` is its label map, preprocessed like the image.
        query_slices: first and last slice, for all organs, counted from 0 along the axis that is cut and in the order
            in which the scan is stored, as viewers number them.
    """

    def __init__(self, keys: KeysCollection, query_slices: tuple[int, int] | None = None) -> None:
        super().__init__(keys)
        self.query_slices = query_slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Attach the extent.

        Raises:
            InputError: ``query_slices`` outside of the scan.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            image, organs = d[key], d[key].meta["support_organs"]
            if asked := d.get(SLICES):
                image.meta[PROTOCOL] = "ep1"
            if slices := asked or self.query_slices:
                first, last = _preprocessed_slices(image, slices)
                index = torch.arange(image.shape[-1])
                extent = ((index >= first) & (index <= last)).expand(len(organs), -1)
            elif "label" in d:
                label = d["label"].as_tensor().round()
                extent = torch.stack([(label == int(organ)).flatten(0, 2).any(0) for organ in organs])
            else:
                continue
            image.meta["query_extent"] = extent
        return d


def cut_axis(image: MetaTensor) -> int:
    """Return the stored axis that has become the slice axis.

    Args:
        image: preprocessed ``(1, X, Y, Z)``, its meta with the stored affine.
    """
    stored = torch.as_tensor(image.meta["original_affine"]).double().reshape(4, 4)
    directions = stored[:3, :3] / stored[:3, :3].norm(dim=0)
    return int((image.affine.double()[:3, 2] @ directions).abs().argmax())


def _preprocessed_slices(image: MetaTensor, slices: tuple[int, int]) -> tuple[int, int]:
    """Map stored slice numbers to slices of the preprocessed grid, by way of world coordinates."""
    stored = torch.as_tensor(image.meta["original_affine"]).double().reshape(4, 4)
    shape = [int(n) for n in torch.as_tensor(image.meta["spatial_shape"]).flatten()]
    axis = cut_axis(image)
    first, last = sorted(int(index) for index in slices)
    counted = f"counted along the {('first', 'second', 'third')[axis]} stored axis, {_direction(stored, axis)}"
    if first < 0 or last >= shape[axis]:
        raise InputError(
            f"{file_name(image)}: query_slices {first} to {last} asked, slices are 0 to {shape[axis] - 1}, {counted}"
        )
    if axis != 2:
        logger.warning("%s: query_slices %d to %d of %d are %s", file_name(image), first, last, shape[axis], counted)
    points = torch.tensor([[(n - 1) / 2 for n in shape] + [1.0]] * 2, dtype=torch.float64)
    points[0, axis], points[1, axis] = first, last
    grid = (points @ stored.T) @ torch.linalg.inv(image.affine.double()).T
    low, high = sorted(grid[:, 2].tolist())
    return max(0, round(low)), min(image.shape[-1] - 1, round(high))


def _direction(affine: torch.Tensor, axis: int) -> str:
    end = nib.orientations.aff2axcodes(affine.numpy())[axis]
    start = {"L": "R", "R": "L", "P": "A", "A": "P", "I": "S", "S": "I"}[end]
    return f"{_ENDS[start]} to {_ENDS[end]}"
