"""Base class of all few-shot segmenters: what the methods share from images to log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..prototypes import resize_mask


class FewShotSegmenter(nn.Module):
    """Segment a query image from K annotated support images of the same structure.

    A method overrides ``segment``, and where it must ``relate`` and ``to_log_probabilities``. The network is stateless
    and scriptable.

    Args:
        encoder: maps images ``(N, 1, *S)`` to features ``(N, F, *s)``.

    Attributes:
        trains_in_bfloat16: in training mode the encoder computes in bfloat16; prototypes and scores never do.
        encodes_together: support and query share BatchNorm's statistics in training; otherwise each has its own.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.trains_in_bfloat16 = False
        self.encodes_together = True

    def encode(self, image: Tensor) -> Tensor:
        """Map images ``(N, 1, *S)`` to features ``(N, F, *s)``."""
        if not torch.jit.is_scripting():  # noqa: SIM102 (the compiler understands this condition only alone)
            if self.training and self.trains_in_bfloat16:
                return self._encode_in_bfloat16(image)
        return self.encoder(image)

    def relate(self, query_features: Tensor, support_features: Tensor) -> tuple[Tensor, Tensor]:
        """Let query ``(B, F, *s)`` and support features ``(B, K, F, *s)`` see each other before any mask is used."""
        return query_features, support_features

    def segment(self, query_features: Tensor, support_features: Tensor, support_mask: Tensor) -> Tensor:
        """Score query features against the support: the method itself.

        Args:
            query_features: ``(B, F, *s)``.
            support_features: ``(B, K, F, *s)``.
            support_mask: ``(B, K, 1, *S)``, or ``(B, K, 1, *s)`` in the alignment direction.

        Returns:
            Scores of background and foreground ``(B, 2, *s)``; their argmax is the hard label.
        """
        raise RuntimeError("a few-shot method must define segment()")

    def mask_at_features(self, support_mask: Tensor, size: list[int]) -> Tensor:
        """Bring masks to feature size as ``segment`` does; a small structure can vanish.

        Args:
            support_mask: ``(B, K, 1, *S)``.
            size: feature grid ``*s``.

        Returns:
            ``(B, K, 1, *s)``.
        """
        return resize_mask(support_mask, size)

    def to_log_probabilities(self, scores: Tensor, size: list[int]) -> Tensor:
        """Bring scores ``(B, 2, *s)`` to image size: log-probabilities ``(B, 2, *S)``."""
        mode = "bilinear" if len(size) == 2 else "trilinear"
        return F.log_softmax(F.interpolate(scores, size=size, mode=mode, align_corners=False), dim=1)

    def forward(
        self,
        image: Tensor,
        support_image: Optional[Tensor] = None,  # noqa: UP045 (TorchScript on Python 3.10)
        support_mask: Optional[Tensor] = None,  # noqa: UP045
    ) -> Tensor:
        """Segment a batch of episodes.

        Without support everything is background: this answers one-input shape checks only, inference refuses it.

        Args:
            image: query ``(B, 1, *S)``.
            support_image: ``(B, K, 1, *S)``.
            support_mask: ``(B, K, 1, *S)``, 1 inside the structure.

        Returns:
            Log-probabilities ``(B, 2, *S)``; in training mode the dictionary of ``episode_outputs``.
        """
        size = list(image.shape[2:])
        if support_image is None or support_mask is None:
            background = torch.zeros_like(image[:, :1])
            return torch.cat([background, torch.full_like(background, -float("inf"))], dim=1)
        episodes, shots = support_image.shape[0], support_image.shape[1]
        supports = support_image.flatten(0, 1)
        if self.encodes_together:
            features = self.encode(torch.cat([supports, image]))
            support_features, query_features = features[: episodes * shots], features[episodes * shots :]
        else:
            support_features, query_features = self.encode(supports), self.encode(image)
        support_features = support_features.unflatten(0, [episodes, shots])
        query_features, support_features = self.relate(query_features, support_features)
        scores = self.segment(query_features, support_features, support_mask)
        if not torch.jit.is_scripting():  # noqa: SIM102 (the compiler understands this condition only alone)
            if self.training:
                return self.episode_outputs(scores, query_features, support_features, support_mask)  # type: ignore
        return self.to_log_probabilities(scores, size)

    @torch.jit.unused
    def alignment_mask(self, support_mask: Tensor, size: list[int]) -> Tensor:
        """Give the masks ``(B, K, 1, *S)`` at the size of the alignment loss; ``size`` is that of the features."""
        return support_mask

    @torch.jit.unused
    def episode_outputs(
        self, scores: Tensor, query_features: Tensor, support_features: Tensor, support_mask: Tensor
    ) -> dict[str, Tensor]:
        """Collect what the episode loss needs, the alignment direction (query segments support) included.

        Args:
            scores: ``(B, 2, *s)`` of the query.
            query_features: ``(B, F, *s)``.
            support_features: ``(B, K, F, *s)``.
            support_mask: ``(B, K, 1, *S)``.

        Returns:
            ``query`` ``(B, 2, *S)`` and ``support`` ``(B, K, 2, *T)`` log-probabilities; ``support_mask``
            ``(B, K, 1, *T)``, whose size ``alignment_mask`` chooses; and ``query_foreground`` ``(B,)``: the number of
            feature cells predicted foreground.
        """
        size = list(support_mask.shape[3:])
        shots = support_mask.shape[1]
        target = self.alignment_mask(support_mask, list(support_features.shape[3:]))
        predicted = scores.argmax(dim=1, keepdim=True).to(scores.dtype)
        support_scores = self.segment(
            support_features.flatten(0, 1),
            query_features.repeat_interleave(shots, dim=0).unsqueeze(1),
            predicted.repeat_interleave(shots, dim=0).unsqueeze(1),
        )
        support = self.to_log_probabilities(support_scores, list(target.shape[3:])).unflatten(0, (-1, shots))
        return {
            "query": self.to_log_probabilities(scores, size),
            "support": support,
            "support_mask": target,
            "query_foreground": predicted.flatten(1).sum(1),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights, always strictly: a caller's lax mode would run a network with random weights.

        Raises:
            InputError: the weights are of another network; the first names that differ are given.
        """
        own = self.state_dict()
        fits = {name for name, value in state_dict.items() if name in own and own[name].shape == value.shape}
        missing, unexpected = ([name for name in names if name not in fits] for names in (own, state_dict))
        if missing or unexpected:
            raise InputError(
                f"checkpoint of another network: {len(missing)} weights missing or of another shape {missing[:2]}, "
                f"{len(unexpected)} unknown {unexpected[:2]}; use the configuration that it was trained with"
            )
        return super().load_state_dict(state_dict, strict=True, assign=assign)

    @torch.jit.unused
    def _encode_in_bfloat16(self, image: Tensor) -> Tensor:
        # No cache of converted weights: the memory of a CUDA graph must not leave it.
        with torch.autocast(image.device.type, torch.bfloat16, cache_enabled=False):
            return self.encoder(image).float()
