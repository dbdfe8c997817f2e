"""A segmenter with its support built in: one image in, log-probabilities out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .segmenter import FewShotSegmenter


class ConditionedSegmenter(nn.Module):
    """Plain one-input network for exporters and servers: holds the encoded support of one structure.

    Args:
        segmenter: trained network; used in evaluation mode.
        support_image: ``(K, 1, *S)``, preprocessed.
        support_mask: ``(K, 1, *S)``, 1 inside the structure.
    """

    def __init__(self, segmenter: FewShotSegmenter, support_image: Tensor, support_mask: Tensor) -> None:
        super().__init__()
        self.segmenter = segmenter.eval()
        with torch.no_grad():
            # One by one, as the inferer does: windows of a volume take much memory.
            features = torch.cat([segmenter.encode(image) for image in support_image.split(1)])
        self.register_buffer("support_features", features[None])
        self.register_buffer("support_mask", support_mask[None])

    def forward(self, image: Tensor) -> Tensor:
        """Map query images ``(B, 1, *S)`` to log-probabilities ``(B, 2, *S)``."""
        support_features = self._repeat(self.support_features, image.shape[0])  # type: ignore[arg-type]
        support_mask = self._repeat(self.support_mask, image.shape[0])  # type: ignore[arg-type]
        query_features, support_features = self.segmenter.relate(self.segmenter.encode(image), support_features)
        scores = self.segmenter.segment(query_features, support_features, support_mask)
        return self.segmenter.to_log_probabilities(scores, list(image.shape[2:]))

    def _repeat(self, single: Tensor, batch: int) -> Tensor:
        return single.expand([batch] + list(single.shape[1:]))
