"""Segment a query volume as a whole, or window by window, from the support in its meta."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from monai.data.utils import dense_patch_slices
from monai.inferers import Inferer, sliding_window_inference
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..networks import FewShotSegmenter
from ..protocols import named_protocol
from ..speed.encoding import Encoding
from .support import Support, check_seen, own_protocol, plain, probabilities, query_extents, read_support

logger = logging.getLogger(__name__)


class FewShotVolumeInferer(Inferer):
    """Few-shot inference for 3D networks: every window is encoded once, all organs are scored on the shared features.

    Support volumes are cut into windows too, and an organ's shots are such windows.

    Args:
        protocol: ``ep2`` segments the whole query, and so does ``ep2k<number>``, since every drawn slice counts anyway;
            ``ep1`` only the slices of the organ's known extent.
        support_slices: ``all`` drawn slices of the support count, or ``one``, the middle one of each organ (ADNet in
            3D, table 8).
        roi_size: window ``(X, Y, Z)`` in voxels; smaller volumes are padded with their minimum; None: ``volume_size``.
        volume_size: size that volumes were trained at, voxels. Without it and ``roi_size`` each volume is one window.
        patch_size: window for volumes that do not fit a GPU's memory as one.
        overlap: of neighbouring windows, as a fraction.
        support_windows: an organ's shots: ``fullest``, the windows that hold at least half as much of it as its fullest
            one in that volume; or ``all`` that hold any, each drawn voxel in one of them.
        batch_size: windows per encoder call.
        precision: of the encoder: ``float32``, ``bfloat16`` or ``auto``, see ``Encoding``.
        refuse_unseen: an organ whose support vanishes at feature size is an error; otherwise a warning.

    Raises:
        InputError: unknown ``support_slices`` or ``support_windows``, or a protocol that pairs slices.
    """

    def __init__(
        self,
        protocol: str = "ep2",
        support_slices: str = "all",
        roi_size: Sequence[int] | None = None,
        volume_size: Sequence[int] | None = None,
        patch_size: Sequence[int] | None = None,
        overlap: float = 0.25,
        support_windows: str = "fullest",
        batch_size: int = 1,
        precision: str = "float32",
        refuse_unseen: bool = False,
    ) -> None:
        super().__init__()
        self.encode = Encoding(precision, batch_size)
        for name, value, choices in (
            ("support_slices", support_slices, ("all", "one")),
            ("support_windows", support_windows, ("fullest", "all")),
        ):
            if value not in choices:
                raise InputError(f"{name} is {' or '.join(choices)}, got {value}")
        self.support_slices = support_slices
        self.support_windows = support_windows
        self.roi_size = roi_size or volume_size
        self.patch_size = patch_size
        self.overlap = overlap
        self.batch_size = batch_size
        self.refuse_unseen = refuse_unseen
        self.use_protocol(protocol)

    def use_protocol(self, name: str) -> None:
        """Switch to protocol ``ep1``, ``ep2`` or ``ep2k<number>``."""
        if not name.startswith(("ep1", "ep2")):
            raise InputError(f"a volume is segmented under protocol ep1 or ep2, got {name}")
        self.protocol = named_protocol(name)

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
        own = own_protocol(inputs)
        protocol = self.protocol if own is None else named_protocol(own)
        chunks = [
            protocol.query_chunks(inputs.shape[-1], extent) for extent in query_extents(inputs, len(support.organs))
        ]
        scored = torch.tensor(chunks, device=inputs.device) >= 0
        segmenter: Any = getattr(network, "module", network)
        with torch.no_grad():
            try:
                foreground = self._segment(segmenter, plain(inputs), support, self.roi_size)
            except torch.OutOfMemoryError:
                if self.roi_size is not None or self.patch_size is None:
                    raise
                logger.warning(f"a whole volume does not fit the GPU: segmented in windows of {list(self.patch_size)}")
                foreground = self._segment(segmenter, plain(inputs), support, self.patch_size)
        return probabilities(foreground * scored[:, None, None, :], inputs)

    def select_support(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Give the support windows of the first organ.

        Args:
            inputs: query MetaTensor ``(1, 1, X, Y, Z)`` whose meta holds the support.

        Returns:
            Images and masks ``(K, 1, *roi)``.

        Raises:
            InputError: more than one volume, or no support.
        """
        images, masks, organs = self._cut_support(read_support(inputs), self.roi_size)
        chosen = list(next(key for key, numbers in organs.items() if 0 in numbers))
        return images[chosen], masks[chosen, :1].to(images.dtype)

    def _segment(
        self, segmenter: FewShotSegmenter, query: Tensor, support: Support, roi_size: Sequence[int] | None
    ) -> Tensor:
        """Return foreground probabilities ``(N, X, Y, Z)`` of a query ``(1, 1, X, Y, Z)``."""
        images, masks, organs = self._cut_support(support, roi_size)
        support_features = self.encode.support(segmenter, images)
        size = list(support_features.shape[2:])
        for chosen, numbers in organs.items():
            for organ in numbers:
                drawn = masks[list(chosen), organ]
                check_seen(segmenter, int(support.organs[organ]), drawn, size, self.refuse_unseen)

        def score(windows: Tensor) -> Tensor:
            foreground = windows.new_zeros((len(windows), len(support.organs), *windows.shape[2:]))
            query_features = self.encode.query(segmenter, windows)
            related = _relate(segmenter, query_features, support_features, list(organs))
            for chosen, related_query, shot_features in related:
                # One organ at a time: the similarities of one fill memory enough.
                for organ in organs[chosen]:
                    mask = masks[list(chosen), organ].unsqueeze(1).to(windows.dtype)
                    scores = segmenter.segment(related_query, shot_features, mask.expand(len(windows), *mask.shape))
                    log_probabilities = segmenter.to_log_probabilities(scores, list(windows.shape[2:]))
                    foreground[:, organ] = log_probabilities[:, 1].exp().to(windows.dtype)
            return foreground

        if roi_size is None:
            return score(query)[0]
        foreground: Any = sliding_window_inference(
            query, roi_size, self.batch_size, score, self.overlap, mode="gaussian", cval=float(query.min())
        )
        return foreground[0]

    def _cut_support(
        self, support: Support, roi_size: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, dict[tuple[int, ...], list[int]]]:
        """Cut the support volumes into windows; without their size, each volume is one, padded to the largest.

        Returns:
            Images ``(W, 1, *roi)``, masks ``(W, N, *roi)``, and the organs that share the same K windows as shots.
        """
        roi = tuple(roi_size or torch.tensor([image.shape for image in support.images]).amax(0).tolist())
        images, masks, used = [], [], []
        for image, label in zip(support.images, support.labels, strict=True):
            drawn = label == support.organs.reshape(-1, 1, 1, 1)
            if self.support_slices == "one":
                drawn = _middle_slices(drawn)
            padding = [n for size, length in zip(image.shape, roi, strict=True) for n in _margins(size, length)]
            image = F.pad(image, padding[::-1], value=float(image.min()))
            drawn = F.pad(drawn, padding[::-1])
            interval = [max(1, int(length * (1 - self.overlap))) for length in roi]
            places = dense_patch_slices(image.shape, roi, interval)
            images += [image[place][None] for place in places]
            masks.append(torch.stack(_cut_masks(drawn, places, once=self.support_windows == "all")))
            voxels = masks[-1].flatten(2).sum(2)
            enough = voxels.amax(0) if self.support_windows == "fullest" else 1
            used.append((2 * voxels >= enough) & (voxels > 0))
        organs: dict[tuple[int, ...], list[int]] = {}
        for organ, column in enumerate(torch.cat(used).t()):
            organs.setdefault(tuple(column.nonzero().flatten().tolist()), []).append(organ)
        return torch.stack(images), torch.cat(masks), organs


def _relate(
    segmenter: FewShotSegmenter, query_features: Tensor, support_features: Tensor, sets: list[tuple[int, ...]]
) -> Iterator[tuple[tuple[int, ...], Tensor, Tensor]]:
    """Relate query windows with each set of support windows, in one call for all sets of the same size.

    Args:
        query_features: ``(B, F, *s)``.
        support_features: of all W support windows, ``(W, F, *s)``.
        sets: different sets of K support windows.

    Yields:
        The set, query ``(B, F, *s)`` and support features ``(B, K, F, *s)``.
    """
    batch = len(query_features)
    for size in sorted({len(chosen) for chosen in sets}):
        group = [chosen for chosen in sets if len(chosen) == size]
        related_query, related_support = segmenter.relate(
            torch.cat([query_features] * len(group)),
            support_features[torch.tensor(group, device=support_features.device)].repeat_interleave(batch, dim=0),
        )
        yield from zip(group, related_query.split(batch), related_support.split(batch), strict=True)


def _cut_masks(drawn: Tensor, places: Sequence[tuple[slice, ...]], once: bool) -> list[Tensor]:
    """Cut windows out of masks ``(N, X, Y, Z)``; ``once``: a voxel counts in the first window that holds it alone."""
    cut = []
    for x, y, z in places:
        cut.append(drawn[:, x, y, z].clone() if once else drawn[:, x, y, z])
        if once:
            drawn[:, x, y, z] = False
    return cut


def _middle_slices(drawn: Tensor) -> Tensor:
    """Keep of masks ``(N, X, Y, Z)`` the middle drawn slice each, by ADNet's index ``int(0.5 n)``."""
    kept = torch.zeros_like(drawn)
    for organ, mask in enumerate(drawn):
        slices = mask.flatten(0, 1).any(0).nonzero().flatten()
        if len(slices):
            middle = slices[len(slices) // 2]
            kept[organ, :, :, middle] = mask[:, :, middle]
    return kept


def _margins(size: int, roi: int) -> tuple[int, int]:
    """Padding behind and in front that brings ``size`` to ``roi``."""
    missing = max(roi - size, 0)
    return missing - missing // 2, missing // 2
