"""What was found: a line for each organ, or for machines one of JSON for each scan."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ..data.reading import file_name
from .extent import cut_axis
from .saving import answer_file


class PrintSummaryd(MapTransform):
    """Print for each organ its name, volume in millilitres, slices and mean confidence.

    Args:
        keys: keys of label maps on the stored grid ``(1, X, Y, Z)``; ``confidence`` is the largest foreground
            probability, ``image`` the query as the network saw it, whose meta holds ``support_organs``.
        names: organs by label value.
        style: ``text``: a line for each organ; ``json``: one line for each scan, an object with ``scan``,
            ``segmentation`` and a list of ``organs``.
    """

    def __init__(self, keys: KeysCollection, names: Mapping[int, str], style: str = "text") -> None:
        super().__init__(keys)
        self.names = names
        self.style = style

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged."""
        image: MetaTensor = data["image"]
        for key in self.key_iterator(data):
            organs = self._found(image, data[key], data["confidence"])
            if self.style == "json":
                saved = str(answer_file(data, "seg.nii.gz"))
                print(json.dumps({"scan": file_name(image), "segmentation": saved, "organs": organs}), flush=True)
                continue
            for organ in organs:
                print(f"{Path(file_name(image)).name}: {organ['name']}: {_in_words(organ)}", flush=True)
        return dict(data)

    def _found(self, image: MetaTensor, label: MetaTensor, confidence: MetaTensor) -> list[dict[str, Any]]:
        axis = cut_axis(image)
        millilitres = float(torch.linalg.det(label.affine[:3, :3].double()).abs()) / 1000
        organs = []
        for value in torch.as_tensor(image.meta["support_organs"]).flatten().tolist():
            mask = label.as_tensor()[0] == value
            slices = mask.movedim(axis, 0).flatten(1).any(1).nonzero().flatten().tolist()
            mean = float(confidence.as_tensor()[0][mask].mean()) if slices else None
            organs.append(
                {
                    "name": self.names.get(value, f"organ {value}"),
                    "value": value,
                    "millilitres": round(float(mask.sum()) * millilitres, 3),
                    "slices": slices,
                    "mean_confidence": None if mean is None else round(mean, 4),
                }
            )
        return organs


def _in_words(organ: Mapping[str, Any]) -> str:
    slices = organ["slices"]
    if not slices:
        return "not found"
    extent = f"slices {slices[0]} to {slices[-1]} ({len(slices)})"
    return f"{organ['millilitres']:.1f} ml, {extent}, mean confidence {organ['mean_confidence']:.2f}"
