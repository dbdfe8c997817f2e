"""ADNet on one page.

Hansen, Gautam, Jenssen, Kampffmeyer: Anomaly detection-inspired few-shot medical image segmentation through
self-supervision with supervoxels. Medical Image Analysis 78, 2022, 102385. Equation numbers are the paper's.

One prototype describes the foreground; nothing describes the background. A query pixel is foreground when its anomaly
score, the negative cosine similarity to the prototype, lies below a threshold that is learned with the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.losses import EpisodeLoss
from common.networks import FewShotSegmenter
from common.prototypes import cosine_similarity, masked_average, resize_adjoint


class ADNet(FewShotSegmenter):
    """Anomaly-detection-inspired few-shot segmenter.

    Args:
        encoder: maps images ``(N, 1, *S)`` to features ``(N, F, *s)``.
        alpha: scale of the anomaly score.
        kappa: steepness of the soft threshold.
        threshold: start of the learned threshold ``T`` (released code; the paper gives none).
        pool_at: where a prototype is averaged: ``image``, features brought up to the mask (2D), or ``features``, the
            mask brought down to them (3D), both as in the released code. In 3D the alignment loss is taken there too,
            and all windows and volumes of a support make one prototype, weighted by their voxels.
        encode: support and query ``together`` in one batch for BatchNorm (2D), or ``separate`` (3D), both as in the
            released code.
    """

    def __init__(
        self,
        encoder: nn.Module,
        alpha: float = 20.0,
        kappa: float = 0.5,
        threshold: float = -10.0,
        pool_at: str = "image",
        encode: str = "together",
    ) -> None:
        super().__init__(encoder)
        self.encodes_together = encode == "together"
        self.alpha = alpha
        self.kappa = kappa
        self.threshold = nn.Parameter(torch.tensor(threshold))
        self.pool_at = pool_at

    def segment(self, query_features: Tensor, support_features: Tensor, support_mask: Tensor) -> Tensor:
        """Threshold the anomaly scores of query features.

        Args:
            query_features: ``(B, F, *s)``.
            support_features: ``(B, K, F, *s)``.
            support_mask: ``(B, K, 1, *S)``, or at feature size in the alignment direction.

        Returns:
            Logits of background (0) and foreground ``(B, 2, *s)``; equal at the threshold, which counts as background.
        """
        if self.pool_at == "features":
            # The windows of a volume side by side are the volume.
            support_mask = self.mask_at_features(support_mask, list(support_features.shape[3:]))
            support_mask = support_mask.transpose(1, 2).flatten(2, 3).unsqueeze(1)
            support_features = support_features.transpose(1, 2).flatten(2, 3).unsqueeze(1)
        # Equation 1: masked average of the support features at mask size, mean over shots.
        prototype = masked_average(support_features, support_mask).mean(1, keepdim=True)
        # Equation 2: S = -alpha cos(F, p).
        score = -self.alpha * cosine_similarity(query_features, prototype)
        # Equation 3: p_fg = 1 - sigmoid(kappa (S - T)), the second of softmax([0, kappa (T - S)]).
        # Kappa is named in the sentence below the equation, not in it.
        foreground = self.kappa * (self.threshold - score)
        return torch.cat([torch.zeros_like(foreground), foreground], dim=1)

    def mask_at_features(self, support_mask: Tensor, size: list[int]) -> Tensor:
        """See ``FewShotSegmenter``; with ``pool_at: image`` no structure vanishes."""
        if self.pool_at == "features":
            shots = support_mask.shape[:2]
            return F.interpolate(support_mask.flatten(0, 1), size=size, mode="nearest").unflatten(0, shots)
        return resize_adjoint(support_mask, size)

    @torch.jit.unused
    def alignment_mask(self, support_mask: Tensor, size: list[int]) -> Tensor:
        """See ``FewShotSegmenter``."""
        return self.mask_at_features(support_mask, size) if self.pool_at == "features" else support_mask

    def to_log_probabilities(self, scores: Tensor, size: list[int]) -> Tensor:
        """Interpolate the foreground probability, not the score, as the released code does; then clamp and take logs.

        Args:
            scores: ``(B, 2, *s)``.
            size: image grid ``*S``.

        Returns:
            Log-probabilities ``(B, 2, *S)``.
        """
        mode = "bilinear" if len(size) == 2 else "trilinear"
        if scores.dtype != torch.float64:  # half precision could not hold the bounds below
            scores = scores.float()
        probability = torch.sigmoid(scores[:, 1:] - scores[:, :1])
        foreground = F.interpolate(probability, size=size, mode=mode, align_corners=True)
        epsilon = 1.1920928955078125e-07  # float32 machine epsilon
        return torch.cat([1.0 - foreground, foreground], dim=1).clamp(epsilon, 1.0 - epsilon).log()

    @torch.jit.unused
    def episode_outputs(
        self, scores: Tensor, query_features: Tensor, support_features: Tensor, support_mask: Tensor
    ) -> dict[str, Tensor]:
        """Add the threshold loss's input, ``relative_threshold`` ``T / alpha``, to the shared outputs."""
        outputs = super().episode_outputs(scores, query_features, support_features, support_mask)
        outputs["relative_threshold"] = self.threshold / self.alpha
        return outputs


class ADNetLoss(EpisodeLoss):
    """L = L_S + L_T + L_PAR: query loss (equation 4), threshold loss and alignment loss (equation 5).

    L_T = T / alpha pulls the threshold down and so the foreground features together.

    Args:
        background_weight: class weight of background in L_S.
        alignment_weight: factor of L_PAR; 0 for the ablation.
        threshold_weight: factor of L_T; 0 for the ablation.
    """

    def __init__(
        self, background_weight: float = 0.1, alignment_weight: float = 1.0, threshold_weight: float = 1.0
    ) -> None:
        super().__init__(background_weight, alignment_weight)
        self.threshold_weight = threshold_weight

    def forward(self, outputs: dict[str, Tensor], label: Tensor) -> Tensor:
        """Score the outputs of a training forward pass against query labels ``(B, 1, *S)``; returns a scalar."""
        return super().forward(outputs, label) + self.threshold_weight * outputs["relative_threshold"]
