"""Segment a query volume slice by slice from the support in its meta."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from monai.inferers import Inferer
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks import FewShotSegmenter
from ..protocols import Protocol, named_protocol
from ..speed.encoding import Encoding
from .canvas import common_size, place, take_out
from .support import Support, check_seen, own_protocol, plain, probabilities, query_extents, read_support

_TEMPERATURE = 0.01  # of likeness; chosen on CHAOS with ADNet, among 0.01, 0.02 and 0.03


class FewShotInferer(Inferer):
    """Few-shot inference for 2D networks: every slice is encoded once, all organs are scored on the shared features.

    Args:
        protocol: ``ep1``, ``ep2``, ``k<number>`` or ``ep2k<number>``, see ``named_protocol``.
        shots: support slices per chunk and support volume.
        chunk_rule: ``list`` or ``range``, see ``Protocol``.
        batch_size: slices per encoder call, and query slices per scoring call, which takes all organs at once; None:
            what ``Encoding`` finds to suit the device, and 8.
        precision: of the encoder: ``float32``, ``bfloat16`` or ``auto``, see ``Encoding``.
        refuse_unseen: an organ whose support vanishes at feature size is an error; otherwise a warning.
    """

    def __init__(
        self,
        protocol: str = "ep2",
        shots: int = 1,
        chunk_rule: str = "list",
        batch_size: int | None = None,
        precision: str = "float32",
        refuse_unseen: bool = False,
    ) -> None:
        super().__init__()
        self.encode = Encoding(precision, batch_size)
        self.refuse_unseen = refuse_unseen
        self.shots = shots
        self.chunk_rule = chunk_rule
        self.batch_size = batch_size or 8
        self.use_protocol(protocol)

    def use_protocol(self, name: str) -> None:
        """Switch to another protocol."""
        self.protocol = named_protocol(name, self.shots, self.chunk_rule)

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:
        """Segment one volume.

        Args:
            inputs: query MetaTensor ``(1, 1, X, Y, Z)`` whose meta holds the support (``LoadSupportd``).
            network: few-shot network in evaluation mode, bare or wrapped for distributed training.

        Returns:
            Probabilities ``(1, 1 + N, X, Y, Z)``: background, then the N organs in the order of ``support_organs``.

        Raises:
            InputError: more than one volume, no support, an organ range that the protocol needs is missing, or an organ
                is drawn too small.
        """
        support = read_support(inputs)
        pairs = self.pair_slices(inputs, support)
        segmenter: Any = getattr(network, "module", network)
        query = plain(inputs)[0, 0]
        size = common_size([query, *support.images])
        placed = Support(
            [place(image, size, float(image.min())) for image in support.images],
            [place(label, size, 0) for label in support.labels],
            support.organs,
        )
        with torch.no_grad():
            one_by_one = self._protocol(inputs).one_by_one
            foreground = self._segment(segmenter, place(query, size, float(query.min())), placed, pairs, one_by_one)
        return probabilities(take_out(foreground, query.shape[:2]), inputs)

    def pair_slices(self, inputs: Tensor, support: Support) -> list[Tensor]:
        """List the slice pairs of each organ that has any.

        Args:
            inputs: query ``(1, 1, X, Y, Z)``.
            support: its support.

        Returns:
            ``(P, 2 + K)``: query slice, index of the organ, K support slices, counted through all support volumes.

        Raises:
            InputError: the protocol needs an organ's range in the query, and it is missing.
        """
        protocol = self._protocol(inputs)
        extents, depth = query_extents(inputs, len(support.organs)), inputs.shape[-1]
        ends = torch.tensor([0] + [volume.shape[2] for volume in support.images]).cumsum(0).tolist()
        volumes = [range(first, last) for first, last in zip(ends[:-1], ends[1:], strict=True)]
        labels = torch.cat(support.labels, dim=2)
        pairs = []
        for organ, extent in enumerate(extents):
            drawn = (labels == support.organs[organ]).flatten(0, 1).any(0).tolist()
            chosen: list[list[int]] = [[] for _ in range(protocol.chunks)]
            for volume in volumes:
                labelled = [index for index in volume if drawn[index]]
                for chunk, slices in enumerate(protocol.support_slices(labelled) if labelled else []):
                    chosen[chunk] += slices
            if protocol.one_by_one:  # where fewer are drawn than asked for, each answers once
                chosen = [list(dict.fromkeys(slices)) for slices in chosen]
            chunks = protocol.query_chunks(depth, extent)
            rows = [[index, organ, *chosen[chunk]] for index, chunk in enumerate(chunks) if chunk >= 0]
            pairs.append(torch.tensor(rows, dtype=torch.long, device=labels.device).reshape(len(rows), -1))
        return [rows for rows in pairs if len(rows)]

    def select_support(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Give the support slices that the first query slice is compared with, for the first organ.

        Args:
            inputs: query MetaTensor ``(1, 1, X, Y, Z)`` whose meta holds the support.

        Returns:
            Images and masks ``(K, 1, X, Y)``.

        Raises:
            InputError: as for a call.
        """
        support = read_support(inputs)
        row = self.pair_slices(inputs, support)[0][0]
        images, labels = (torch.cat([_slices(v) for v in vs])[row[2:]] for vs in (support.images, support.labels))
        return images, (labels == support.organs[row[1]]).to(images.dtype)

    def _protocol(self, inputs: Tensor) -> Protocol:
        own = own_protocol(inputs)
        return self.protocol if own is None else named_protocol(own, self.shots, self.chunk_rule)

    def _segment(
        self, segmenter: FewShotSegmenter, query: Tensor, support: Support, pairs: list[Tensor], one_by_one: bool
    ) -> Tensor:
        """Return foreground probabilities ``(N, X, Y, Z)`` of a query volume ``(X, Y, Z)``."""
        foreground = query.new_zeros((len(support.organs), query.shape[2], *query.shape[:2]))
        if pairs:
            query_slices = torch.cat([rows[:, 0] for rows in pairs]).unique()
            support_slices = torch.cat([rows[:, 2:].flatten() for rows in pairs]).unique()
            query_features = self.encode.query(segmenter, _slices(query)[query_slices])
            images = torch.cat([_slices(volume) for volume in support.images])
            support_features = self.encode.support(segmenter, images[support_slices])
            labels = torch.cat([_slices(volume) for volume in support.labels])
            for rows in pairs:
                organ, size = support.organs[rows[0, 1]], list(support_features.shape[2:])
                drawn = labels[rows[:, 2:].unique(), 0] == organ
                check_seen(segmenter, int(organ), drawn, size, self.refuse_unseen)
            encoded = _Encoded(
                query_slices, query_features, support_slices, support_features, labels, support.organs, query.dtype
            )
        for rows in self._batches(pairs):
            if one_by_one:
                alone = torch.cat([rows[:, :2].repeat_interleave(rows.shape[1] - 2, 0), rows[:, 2:].reshape(-1, 1)], 1)
                weights = encoded.likeness(rows)
                answers = encoded.answer(segmenter, alone).unflatten(0, weights.shape)
                answers = torch.einsum("pk,pkxy->pxy", weights, answers)
            else:
                answers = encoded.answer(segmenter, rows)
            foreground[rows[:, 1], rows[:, 0]] = answers.to(foreground.dtype)
        return foreground.movedim(1, -1)

    def _batches(self, pairs: list[Tensor]) -> Iterator[Tensor]:
        """Join the organs' pairs, those with the same number of shots together, in batches of query slices."""
        for width in sorted({rows.shape[1] for rows in pairs}):
            rows = torch.cat([rows for rows in pairs if rows.shape[1] == width])
            rows = rows[rows[:, 0].argsort(stable=True)]
            counts = rows[:, 0].unique_consecutive(return_counts=True)[1]
            yield from rows.split([int(part.sum()) for part in counts.split(self.batch_size)])


@dataclass
class _Encoded:
    """Numbers of the encoded slices, ascending, with their features ``(S, F, *s)``; label maps; the organs' values."""

    query_slices: Tensor
    query_features: Tensor
    support_slices: Tensor
    support_features: Tensor
    labels: Tensor
    organs: Tensor
    dtype: torch.dtype

    def answer(self, segmenter: FewShotSegmenter, rows: Tensor) -> Tensor:
        """Return foreground probabilities ``(P, X, Y)`` of pairs ``(P, 2 + K)``, see ``pair_slices``."""
        # Each pair of query slice and support slices is related once, whichever organs share it.
        unique, place = rows[:, [0, *range(2, rows.shape[1])]].unique(dim=0, return_inverse=True)
        place, order = place.sort(stable=True)
        rows = rows[order]
        query, support = segmenter.relate(
            self.query_features[torch.searchsorted(self.query_slices, unique[:, 0].contiguous())],
            self.support_features[torch.searchsorted(self.support_slices, unique[:, 1:].contiguous())],
        )
        if len(unique) < len(rows):
            query, support = query[place], support[place]
        masks = self.labels[rows[:, 2:]] == self.organs[rows[:, 1]].reshape(-1, 1, 1, 1, 1)
        scores = segmenter.segment(query, support, masks.to(self.dtype))
        answers = segmenter.to_log_probabilities(scores, list(masks.shape[3:]))[:, 1].exp()
        return answers[order.argsort()]

    @cached_property
    def means(self) -> tuple[Tensor, Tensor]:
        """Mean features ``(S, F)`` of the query's slices and of the support's."""
        query, support = (part.float().flatten(2).mean(2) for part in (self.query_features, self.support_features))
        return query, support

    def likeness(self, rows: Tensor) -> Tensor:
        """Weigh the support slices of each pair by how alike the whole slices are, from their mean features.

        Args:
            rows: pairs ``(P, 2 + K)``.

        Returns:
            Weights ``(P, K)`` with sum 1.
        """
        query = self.means[0][torch.searchsorted(self.query_slices, rows[:, 0].contiguous())]
        support = self.means[1][torch.searchsorted(self.support_slices, rows[:, 2:].contiguous())]
        return (F.cosine_similarity(query.unsqueeze(1), support, dim=2) / _TEMPERATURE).softmax(1)


def _slices(volume: Tensor) -> Tensor:
    """Turn a volume ``(X, Y, Z)`` into slices ``(Z, 1, X, Y)``."""
    return volume.movedim(-1, 0).unsqueeze(1)
