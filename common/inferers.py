"""Segment a query volume slice by slice from the support in its meta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor, nn

from .errors import InputError
from .networks import FewShotSegmenter
from .protocols import Protocol, named_protocol


class FewShotInferer(Inferer):
    """Few-shot inference for 2D networks: every slice is encoded once, every organ is scored on the shared features.

    Args:
        protocol: ``ep1`` or ``ep2``.
        shots: support slices per chunk and support volume.
        chunk_rule: ``adnet`` or ``alpnet``, see ``Protocol``.
        batch_size: slices per encoder call and slice pairs per scoring call.
    """

    def __init__(self, protocol: str = "ep2", shots: int = 1, chunk_rule: str = "adnet", batch_size: int = 8) -> None:
        super().__init__()
        self.shots = shots
        self.chunk_rule = chunk_rule
        self.batch_size = batch_size
        self.use_protocol(protocol)

    def use_protocol(self, name: str) -> None:
        """Switch to protocol ``ep1`` or ``ep2``."""
        self.protocol = named_protocol(name, self.shots, self.chunk_rule)

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """Segment one volume.

        Args:
            inputs: query MetaTensor ``(1, 1, X, Y, Z)`` whose meta holds the support (``LoadSupportd``).
            network: few-shot network in evaluation mode, bare or wrapped for distributed training.

        Returns:
            Probabilities ``(1, 1 + N, X, Y, Z)``: background, then the N organs in the order of ``support_organs``.
            Background is one minus the largest organ probability, so that the argmax is the merged label.

        Raises:
            InputError: more than one volume, no support, or an organ range that the protocol needs is missing.
        """
        if inputs.ndim != 5 or inputs.shape[0] != 1:
            raise InputError(f"one volume (1, 1, X, Y, Z) per call is needed, got shape {tuple(inputs.shape)}")
        meta = getattr(inputs, "meta", {})
        if "support_image" not in meta:
            raise InputError("the query carries no support; put LoadSupportd last in the preprocessing")
        segmenter: Any = getattr(network, "module", network)
        query = _plain(inputs)[0, 0].movedim(-1, 0).unsqueeze(1)
        support = _Support.from_meta(meta, query.device)
        organs = [_pair_slices(self.protocol, support, organ, len(query), meta) for organ in range(len(support.organs))]

        with torch.no_grad():
            foreground = self._segment(segmenter, query, support, organs)
        foreground = foreground.movedim(1, -1)[None]
        background = 1.0 - foreground.amax(dim=1, keepdim=True)
        probabilities = torch.cat([background, foreground], dim=1)
        if isinstance(inputs, MetaTensor):
            return MetaTensor(probabilities).copy_meta_from(inputs)
        return probabilities

    def _segment(
        self, segmenter: FewShotSegmenter, query: Tensor, support: _Support, organs: list[_SlicePairs]
    ) -> Tensor:
        """Return foreground probabilities ``(N, Z, X, Y)`` of query slices ``(Z, 1, X, Y)``."""
        used_query = torch.cat([pairs.query for pairs in organs]).unique()
        used_support = torch.cat([pairs.support.flatten() for pairs in organs]).unique()
        query_features = self._encode(segmenter, query[used_query])
        support_features = self._encode(segmenter, support.images[used_support])

        foreground = query.new_zeros((len(organs), *query[:, 0].shape))
        for organ, pairs in enumerate(organs):
            masks = (support.labels == support.organs[organ]).to(query.dtype)
            for targets, shots in zip(
                pairs.query.split(self.batch_size), pairs.support.split(self.batch_size), strict=True
            ):
                related = segmenter.relate(
                    query_features[torch.searchsorted(used_query, targets)],
                    support_features[torch.searchsorted(used_support, shots)],
                )
                scores = segmenter.segment(*related, masks[shots])
                log_probabilities = segmenter.to_log_probabilities(scores, list(query.shape[2:]))
                foreground[organ, targets] = log_probabilities[:, 1].exp().to(foreground.dtype)
        return foreground

    def _encode(self, segmenter: FewShotSegmenter, slices: Tensor) -> Tensor:
        return torch.cat([segmenter.encode(part) for part in slices.split(self.batch_size)])


@dataclass
class _Support:
    """Slices of all support volumes, one after the other.

    ``images`` and ``labels`` are ``(sum of Z, 1, X, Y)``, ``volumes`` the slice range of each volume.
    """

    images: Tensor
    labels: Tensor
    organs: list[int]
    volumes: list[range]

    @classmethod
    def from_meta(cls, meta: dict[str, Any], device: torch.device) -> _Support:
        images = [_slices(volume).to(device) for volume in meta["support_image"]]
        labels = [_slices(volume).to(device) for volume in meta["support_label"]]
        ends = torch.tensor([0] + [len(volume) for volume in images]).cumsum(0).tolist()
        organs = torch.as_tensor(meta["support_organs"]).flatten().tolist()
        volumes = [range(start, end) for start, end in zip(ends[:-1], ends[1:], strict=True)]
        return cls(torch.cat(images), torch.cat(labels), organs, volumes)


@dataclass
class _SlicePairs:
    """For one organ: query slices ``(P,)`` and, for each of them, its K support slices ``(P, K)``."""

    query: Tensor
    support: Tensor


def _pair_slices(protocol: Protocol, support: _Support, organ: int, depth: int, meta: dict[str, Any]) -> _SlicePairs:
    drawn = (support.labels == support.organs[organ]).flatten(1).any(1)
    chosen: list[list[int]] = [[] for _ in range(protocol.chunks)]
    for volume in support.volumes:
        labelled = [index for index in volume if drawn[index]]
        if labelled:
            for chunk, slices in enumerate(protocol.support_slices(labelled)):
                chosen[chunk] += slices
    extent = None
    if "query_extent" in meta:
        extent = torch.as_tensor(meta["query_extent"]).reshape(-1, depth)[organ].nonzero().flatten().tolist()
    chunks = protocol.query_chunks(depth, extent)
    query = [index for index, chunk in enumerate(chunks) if chunk >= 0]
    shots = torch.tensor([chosen[chunks[index]] for index in query], dtype=torch.long, device=support.images.device)
    return _SlicePairs(torch.tensor(query, dtype=torch.long, device=shots.device), shots.reshape(len(query), -1))


def _slices(volume: Tensor) -> Tensor:
    """Turn a volume ``(1, X, Y, Z)``, possibly with a leading batch axis, into slices ``(Z, 1, X, Y)``."""
    plain = _plain(volume)
    return plain.reshape(plain.shape[-3:]).movedim(-1, 0).unsqueeze(1)


def _plain(volume: Tensor) -> Tensor:
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume
