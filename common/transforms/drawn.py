"""What a person has drawn outlives resampling."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy.ndimage import find_objects
from torch import Tensor

from ..data.reading import file_name

LOST = "lost_organs"

logger = logging.getLogger(__name__)


class KeepDrawnd(MapTransform):
    """Put back what resampling to the nearest voxel has lost of a label map, see ``keep_drawn``.

    Args:
        keys: keys of label maps as resampled, ``(1, X, Y, Z)``; under ``drawn_label`` lies the label map before that,
            with the same axes, which is removed.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return label maps that hold everything drawn."""
        d = dict(data)
        for key in self.key_iterator(d):
            drawn = d.pop("drawn_label")
            for line in drawn_across(drawn):
                logger.warning(f"{file_name(d[key])}: {line}")
            d[key] = keep_drawn(d[key], drawn)
        return d


def drawn_across(label: MetaTensor) -> list[str]:
    """Find organs that are drawn on one plane across the slices, and so are a line on each of them.

    Args:
        label: ``(1, X, Y, Z)``, label values, slice axis last.
    """
    drawn = label.as_tensor()[0].round().int().numpy(force=True)
    # One box around all that is drawn, mostly a few slices of many; none where nothing is.
    for place in find_objects((drawn != 0).astype(np.int8)):
        drawn = drawn[place]
    values, numbers = np.unique(drawn, return_inverse=True)
    lines = []
    for value, box in zip(values.tolist(), find_objects(numbers.reshape(drawn.shape) + 1), strict=True):
        x, y, z = (places.stop - places.start for places in box)
        if value and z > 2 and max(x, y) > 2 and min(x, y) == 1:
            lines.append(
                f"organ {value} is drawn on one plane across the slices that the model cuts, a line on each of {z}; "
                "draw it on one of these slices instead"
            )
    return lines


def keep_drawn(resampled: MetaTensor, drawn: MetaTensor) -> MetaTensor:
    """Add to each slice of a resampled label map the organs that were drawn there and that it lacks.

    An organ of one thin slice falls between the slices of a coarser grid, a few small pixels between its pixels. Their
    voxels are carried over one by one, onto background first, and onto other organs where nothing else is left.

    Args:
        resampled: ``(1, X, Y, Z)``, label values, slice axis last.
        drawn: ``(1, U, V, W)`` with the same axes and directions on another grid.

    Returns:
        ``(1, X, Y, Z)`` int32; equal to ``resampled`` on slices where no organ is missing. Its meta list under
        ``LOST`` the label values that lie wholly outside of the grid.
    """
    kept = resampled.as_tensor().round().int().clone()
    source = drawn.as_tensor().round().int()[0]
    size = kept.shape[1:]
    scale = torch.linalg.inv(resampled.affine.double()) @ drawn.affine.double()
    # The grids share their axes, so each index depends on one index alone.
    places = [
        (torch.arange(n) * scale[axis, axis] + scale[axis, 3]).round().long() for axis, n in enumerate(source.shape)
    ]
    for index in source.flatten(0, 1).any(0).nonzero().flatten().tolist():
        plane, layer = source[:, :, index], kept[0, :, :, int(places[2][index].clamp(0, size[2] - 1))]
        for value in sorted(set(plane.unique().tolist()) - {0, *layer.unique().tolist()}):
            u, v = (plane == value).nonzero(as_tuple=True)
            _draw(layer, places[0][u], places[1][v], value)
    answer = MetaTensor(kept).copy_meta_from(resampled)
    answer.meta[LOST] = sorted(set(source.unique().tolist()) - set(kept.unique().tolist()))
    return answer


def _draw(plane: Tensor, x: Tensor, y: Tensor, value: int) -> None:
    """Set pixels of a plane ``(X, Y)``, those of other organs only where there is no background among them."""
    inside = (x >= 0) & (x < plane.shape[0]) & (y >= 0) & (y < plane.shape[1])
    x, y = x[inside], y[inside]
    free = plane[x, y] == 0
    if bool(free.any()):
        x, y = x[free], y[free]
    plane[x, y] = value
