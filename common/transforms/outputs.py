"""From organ probabilities to label maps and to the binary masks that metrics compare."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, CopyItemsd, DeleteItemsd, Invertd, KeepLargestConnectedComponent, MapTransform


class MergeOrgansd(MapTransform):
    """Merge organ probabilities to one label map with the support's label values.

    A voxel takes the organ with the largest foreground probability above 0.5; ties go to background, then to the
    lower label.

    Args:
        keys: key of probabilities ``(1 + N, X, Y, Z)``, background first; ``image`` is the query, whose meta holds
            ``support_organs``.
        largest_components: connected pieces of each organ that are kept, the largest ones; None: all.
    """

    def __init__(self, keys: KeysCollection, largest_components: int | None = None) -> None:
        super().__init__(keys)
        self.largest_components = largest_components

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return label maps ``(1, X, Y, Z)`` of type int32; ``confidence`` is the largest foreground probability."""
        d = dict(data)
        organs = _organs(d["image"])
        for key in self.key_iterator(d):
            confidence, index = d[key][1:].max(dim=0, keepdim=True)
            values = organs.to(confidence.device)[index.as_tensor() if isinstance(index, MetaTensor) else index]
            merged = torch.where(confidence > 0.5, values, torch.zeros_like(values))
            merged = keep_largest(merged, organs.tolist(), self.largest_components)
            d[key] = _like(merged.to(torch.int32), d[key])
            d["confidence"] = _like(confidence, d[key])
        return d


class OrganMasksd(MapTransform):
    """Make one binary mask per organ, each its own problem as the papers score them.

    Args:
        keys: keys of probabilities ``(1 + N, X, Y, Z)``, thresholded at 0.5 (ties to background); and ``label``, a
            label map ``(1, X, Y, Z)``, compared with each organ's label value. ``image`` is the query, whose meta holds
            ``support_organs``.
        largest_components: connected pieces of each organ that are kept of probabilities; None: all.
    """

    def __init__(self, keys: KeysCollection, largest_components: int | None = None) -> None:
        super().__init__(keys)
        self.largest_components = largest_components

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return masks ``(N, X, Y, Z)`` of 0 and 1 in the order of the organs."""
        d = dict(data)
        organs = _organs(d["image"])
        for key in self.key_iterator(d):
            if key == "label":
                masks = d[key].round() == organs.to(d[key].device).reshape(-1, 1, 1, 1)
            else:
                masks = keep_largest(d[key][1:] > 0.5, range(len(organs)), self.largest_components)
            d[key] = _like(masks.to(torch.uint8), d[key])
        return d


class ScoredMasks(Compose):
    """Turn a query's ``pred`` and ``label`` into one pair of masks per organ, on the grid where they are compared.

    Args:
        preprocessing: of the query, to undo; its ``stored_label`` is the label map before it.
        space: ``preprocessed``, the network's grid as in the papers, or ``original``, the scan's own.
        largest_components: see ``OrganMasksd``.
    """

    def __init__(
        self, preprocessing: Compose, space: str = "preprocessed", largest_components: int | None = None
    ) -> None:
        to_stored_grid = [
            Invertd("pred", transform=preprocessing, orig_keys="image", nearest_interp=False),
            DeleteItemsd("label"),
            CopyItemsd("stored_label", names="label"),
        ]
        masks = OrganMasksd(["pred", "label"], largest_components=largest_components)
        super().__init__([*(to_stored_grid if space == "original" else ()), masks])


def keep_largest(mask: torch.Tensor, organs: Sequence[int], count: int | None) -> torch.Tensor:
    """Keep the largest connected pieces of each organ, pieces being apart where not even corners touch.

    Args:
        mask: label map ``(1, X, Y, Z)``, or a mask of each organ ``(N, X, Y, Z)``.
        organs: label values of a label map, channels of masks.
        count: pieces that are kept of each organ; None: all.

    Returns:
        As ``mask``.
    """
    if count is None:
        return mask
    plain = mask.as_tensor() if isinstance(mask, MetaTensor) else mask
    keep = KeepLargestConnectedComponent(
        applied_labels=list(organs), is_onehot=plain.dtype == torch.bool, num_components=count
    )
    return torch.as_tensor(keep(plain)).to(plain.dtype)


def _organs(image: MetaTensor) -> torch.Tensor:
    return torch.as_tensor(image.meta["support_organs"]).flatten()


def _like(values: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Carry the meta of ``source`` over to new values on the same grid."""
    plain = values.as_tensor() if isinstance(values, MetaTensor) else values
    return MetaTensor(plain).copy_meta_from(source) if isinstance(source, MetaTensor) else plain
