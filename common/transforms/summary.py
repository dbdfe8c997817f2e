"""What was found, in one line for each organ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..data.companions import organ_names
from ..data.reading import file_name
from .extent import cut_axis


class PrintSummaryd(MapTransform):
    """Print for each organ its name, millilitres, slices and mean confidence.

    Args:
        keys: keys of label maps on the stored grid ``(1, X, Y, Z)``.
        image_key: key of the query as the network saw it, whose meta holds ``support_organs``.
        confidence_key: key of the largest foreground probability ``(1, X, Y, Z)``.
        names: organs by label value, in place of those that lie beside the support's label maps.
        label_maps: paths of these.
        allow_missing_keys: skip keys that are absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_key: str = "image",
        confidence_key: str = "confidence",
        names: Mapping[int, str] | None = None,
        label_maps: Sequence[str] = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key
        self.confidence_key = confidence_key
        self.names = {int(value): name for value, name in {**organ_names(label_maps), **(names or {})}.items()}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged."""
        image: MetaTensor = data[self.image_key]
        axis = cut_axis(image)
        for key in self.key_iterator(data):
            label, confidence = data[key], data[self.confidence_key]
            millilitres = float(torch.linalg.det(label.affine[:3, :3].double()).abs()) / 1000
            for value in torch.as_tensor(image.meta["support_organs"]).flatten().tolist():
                mask = label.as_tensor()[0] == value
                slices = mask.movedim(axis, 0).flatten(1).any(1).nonzero().flatten().tolist()
                name = self.names.get(value, f"organ {value}")
                found = "not found"
                if slices:
                    mean = float(confidence.as_tensor()[0][mask].mean())
                    size, first, last = float(mask.sum()) * millilitres, slices[0], slices[-1]
                    found = f"{size:.1f} ml, slices {first} to {last} ({len(slices)}), mean confidence {mean:.2f}"
                print(f"{Path(file_name(image)).name}: {name}: {found}", flush=True)
        return dict(data)
