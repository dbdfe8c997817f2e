"""A support volume on the slices that training would cut, for statistics that do not depend on the stored ones."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform

AS_TRAINED = "as_trained"


class CutAsTrainedd(MapTransform):
    """Add ``AS_TRAINED``, the image cut at the slice distance of training with the drawn slice among its slices.

    A network sees volumes with the clip level, mean and deviation of such slices. Those of thin stored slices differ,
    by a percent or two where neighbours were averaged, and a network can tell.

    Args:
        keys: key of the image ``(1, X, Y, Z)``; the middle drawn slice of ``label`` ``(1, X, Y, Z)`` is met exactly.
        distance: between slices in mm; 0 keeps the scan's own.
    """

    def __init__(self, keys: str, distance: float) -> None:
        super().__init__(keys)
        self.distance = distance

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the volume ``(1, X, Y, Z')``; equal distances give the image itself."""
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            drawn = d["label"].as_tensor()[0].flatten(0, 1).any(0).nonzero().flatten()
            step = self.distance / float(image.pixdim[2]) if self.distance else 1.0
            d[AS_TRAINED] = image.clone()
            if abs(step - 1) > 1e-3 and drawn.numel():
                d[AS_TRAINED] = _cut(image, int(drawn[drawn.numel() // 2]), step)
        return d


def _cut(volume: MetaTensor, middle: int, step: float) -> MetaTensor:
    """Take slices at ``middle`` and at whole steps from it, as far as their centres lie within the volume."""
    depth = volume.shape[-1]
    first, last = -int((middle + 0.5) / step), int((depth - 0.5 - middle) / step)
    places = (middle + torch.arange(first, last + 1) * step).clamp(0, depth - 1)
    # The nearest stored slice: a mean of two would have less contrast than any slice.
    cut = volume.as_tensor()[..., places.round().long()]
    answer = MetaTensor(cut).copy_meta_from(volume)
    answer.affine[:3, 3] += answer.affine[:3, 2] * (middle + first * step)
    answer.affine[:3, 2] *= step
    return answer
