"""SSL-ALPNet on one page, and PANet, the baseline that it extends.

Ouyang, Biffi, Chen, Kart, Qiu, Rueckert: Self-supervision with superpixels: training few-shot medical image
segmentation without annotation. ECCV 2020. Equation numbers are the paper's.

Local prototypes, averages over the cells of a grid, describe foreground and background where they lie; one class-level
prototype describes the structure as a whole. A query pixel is compared with all of them, and within each class the
similarities are fused by their own softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.networks import FewShotSegmenter
from common.prototypes import as_prototypes, assign_cells, cell_average, cosine_similarity, local_scores, masked_average


class ALPNet(FewShotSegmenter):
    """Adaptive local prototype network.

    Args:
        encoder: maps images ``(N, 1, *S)`` to features ``(N, F, *s)``.
        prototype_mode: ``local`` for ALPNet, ``global`` for PANet (one prototype for each class).
        prototype_rule: ``code`` or ``paper``: which cells give foreground and background prototypes, see
            ``common.prototypes.assign_cells``; ``code`` also asks for a large structure, see ``segment``.
        window: side of a cell in training, in feature pixels.
        inference_window: side of a cell at inference.
        cell_threshold: foreground fraction ``T`` that makes a cell foreground.
        alpha: scale of the cosine similarity.
    """

    def __init__(
        self,
        encoder: nn.Module,
        prototype_mode: str = "local",
        prototype_rule: str = "code",
        window: int = 4,
        inference_window: int = 2,
        cell_threshold: float = 0.95,
        alpha: float = 20.0,
    ) -> None:
        super().__init__(encoder)
        self.prototype_mode = prototype_mode
        self.prototype_rule = prototype_rule
        self.window = window
        self.inference_window = inference_window
        self.cell_threshold = cell_threshold
        self.alpha = alpha

    def segment(self, query_features: Tensor, support_features: Tensor, support_mask: Tensor) -> Tensor:
        """Compare query features with local and class-level prototypes.

        Args:
            query_features: ``(B, F, *s)``.
            support_features: ``(B, K, F, *s)``.
            support_mask: ``(B, K, 1, *S)``, or at feature size in the alignment direction.

        Returns:
            Scores of background and foreground ``(B, 2, *s)``.
        """
        if self.prototype_mode == "global":
            return self._global_scores(query_features, support_features, support_mask)
        mask = self.mask_at_features(support_mask.to(support_features.dtype), list(support_features.shape[3:]))
        # Equation 1: averages over cells. The alignment direction, which exists in training only, keeps its window.
        window = [self.window if self.training else self.inference_window] * 2
        prototypes = as_prototypes(cell_average(support_features, window))
        # Equation 2: the class of each cell.
        foreground, background = assign_cells(cell_average(mask, window), self.prototype_rule, self.cell_threshold)
        # Equation 3: class-level prototypes; unlike PANet's they see the mask at feature size.
        class_prototypes = masked_average(support_features, mask)
        if self.prototype_rule == "code":
            # Not in the paper: structures that fill no 4 x 4 cell have the class-level prototype alone, over all shots.
            large = cell_average(mask, [4, 4]).flatten(1).amax(1, keepdim=True) >= self.cell_threshold
            foreground = foreground & large
            mean = class_prototypes.mean(1, keepdim=True)
            class_prototypes = torch.where(large.unsqueeze(2), class_prototypes, mean)
        # Equations 4 and 5.
        return local_scores(query_features, prototypes, foreground, background, class_prototypes, self.alpha)

    def _global_scores(self, query_features: Tensor, support_features: Tensor, support_mask: Tensor) -> Tensor:
        """PANet: one prototype for background, one for foreground, from features at mask size."""
        background = masked_average(support_features, 1.0 - support_mask).mean(1)
        foreground = masked_average(support_features, support_mask).mean(1)
        return self.alpha * cosine_similarity(query_features, torch.stack([background, foreground], dim=1))
