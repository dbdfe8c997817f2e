"""What both inferers share: the support and the organs' extents from the query's meta, and the form of the answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from ..errors import InputError
from ..networks import FewShotSegmenter

logger = logging.getLogger(__name__)

PROTOCOL = "query_protocol"  # in the query's meta: of this scan alone, in place of the inferer's


@dataclass
class Support:
    """Annotated volumes: ``images`` and ``labels``, lists of ``(X, Y, Z)``; label values ``organs`` ``(N,)``."""

    images: list[Tensor]
    labels: list[Tensor]
    organs: Tensor


def read_support(inputs: Tensor) -> Support:
    """Take the support that ``LoadSupportd`` has put into the query's meta, onto the query's device.

    Args:
        inputs: query MetaTensor ``(1, 1, X, Y, Z)``.

    Raises:
        InputError: more than one volume, or no support.
    """
    if inputs.ndim != 5 or inputs.shape[0] != 1:
        raise InputError(f"one volume (1, 1, X, Y, Z) per call is needed, got shape {tuple(inputs.shape)}")
    meta = getattr(inputs, "meta", {})
    if "support_image" not in meta:
        raise InputError("the query carries no support; put LoadSupportd last in the preprocessing")
    # Without the channel and, where a data loader has added one, the batch axis of (1, X, Y, Z).
    images, labels = (
        [plain(volume).reshape(volume.shape[-3:]).to(inputs.device) for volume in meta[key]]
        for key in ("support_image", "support_label")
    )
    return Support(images, labels, torch.as_tensor(meta["support_organs"]).flatten().to(inputs.device))


def query_extents(inputs: Tensor, organs: int) -> list[list[int] | None]:
    """Slices on which each organ lies in the query, from ``QueryExtentd``; None where that is unknown.

    Args:
        inputs: query MetaTensor ``(1, 1, X, Y, Z)``.
        organs: their number.
    """
    meta: dict[str, Any] = getattr(inputs, "meta", {})
    if "query_extent" not in meta:
        return [None] * organs
    extents = torch.as_tensor(meta["query_extent"]).reshape(organs, inputs.shape[-1])
    return [extent.nonzero().flatten().tolist() for extent in extents]


def own_protocol(inputs: Tensor) -> str | None:
    """Return the protocol that was asked for this query alone, see ``QueryExtentd``; None: the inferer's."""
    return getattr(inputs, "meta", {}).get(PROTOCOL)


def probabilities(foreground: Tensor, inputs: Tensor) -> Tensor:
    """Add the background and the query's meta to foreground probabilities.

    Args:
        foreground: ``(N, X, Y, Z)``.
        inputs: query ``(1, 1, X, Y, Z)``.

    Returns:
        ``(1, 1 + N, X, Y, Z)``. Background is one minus the largest organ probability, so that the argmax is the merged
        label.
    """
    answer = torch.cat([1.0 - foreground.amax(dim=0, keepdim=True), foreground])[None]
    return MetaTensor(answer).copy_meta_from(inputs) if isinstance(inputs, MetaTensor) else answer


def check_seen(segmenter: FewShotSegmenter, organ: int, mask: Tensor, features: list[int], refuse: bool) -> None:
    """Tell where an organ's drawing vanishes at feature size.

    Args:
        segmenter: network.
        organ: its label value.
        mask: on its support slices or windows, ``(K, *S)``.
        features: size of the feature maps.
        refuse: raise instead of logging a warning.

    Raises:
        InputError: asked to.
    """
    if bool((segmenter.mask_at_features(mask[:, None, None].to(torch.float32), features) > 0).any()):
        return
    cell = " x ".join(str(max(1, n // f)) for n, f in zip(mask.shape[1:], features, strict=True))
    message = (
        f"organ {organ}: only {int(mask.sum())} pixels are drawn, and the network, whose features cover "
        f"{cell} pixels, sees none of them; draw more of it, or list organs without it"
    )
    if refuse:
        raise InputError(message)
    logger.warning(message)


def plain(volume: Tensor) -> Tensor:
    """Drop the meta."""
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume
