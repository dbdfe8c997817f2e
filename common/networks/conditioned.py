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

    support_features: Tensor
    support_mask: Tensor

    def __init__(self, segmenter: FewShotSegmenter, support_image: Tensor, support_mask: Tensor) -> None:
        super().__init__()
        self.segmenter = segmenter.eval()
        with torch.no_grad():
            features = segmenter.encode(support_image)
        self.register_buffer("support_features", features[None])
        self.register_buffer("support_mask", support_mask[None])

    def forward(self, image: Tensor) -> Tensor:
        """Map query images ``(B, 1, *S)`` to log-probabilities ``(B, 2, *S)``."""
        batch = image.shape[0]
        support_features = self.support_features.expand([batch] + list(self.support_features.shape[1:]))
        support_mask = self.support_mask.expand([batch] + list(self.support_mask.shape[1:]))
        query_features, support_features = self.segmenter.relate(self.segmenter.encode(image), support_features)
        scores = self.segmenter.segment(query_features, support_features, support_mask)
        return self.segmenter.to_log_probabilities(scores, list(image.shape[2:]))
