"""3D ALPNet on one page.

Zhang, Liu: Self-supervised few-shot learning for 3D supervoxel-based medical image segmentation. 2022. Equation
numbers are the report's. Nothing was released; where it is silent, ALPNet (Ouyang et al., ECCV 2020) is followed.

A 3D U-Net gives every voxel a feature. Local prototypes, averages over the cells of a grid, describe the background and
what of the foreground fills a cell; one class-level prototype describes the structure as a whole. A query voxel is
compared with all of them, and within each class the similarities are fused by their own softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

from monai.losses import DiceLoss
from torch import Tensor, nn

from common.networks import FewShotSegmenter
from common.prototypes import as_prototypes, assign_cells, cell_average, local_scores, masked_average


class ALPNet3D(FewShotSegmenter):
    """Adaptive local prototype network for volumes.

    Args:
        encoder: maps volumes ``(N, 1, X, Y, Z)`` to features of the same size ``(N, F, X, Y, Z)``.
        window: size of a prototype's cell in voxels, slice axis last; the report divides 128 x 128 x 24 into
            8 x 8 x 4 cells. It stays what it is where volumes are larger, so that prototypes keep their scale.
        prototype_rule: ``paper`` or ``code`` (of ALPNet): which cells give foreground and background prototypes, see
            ``common.prototypes.assign_cells``.
        cell_threshold: foreground fraction ``T`` that makes a cell foreground.
        alpha: scale of the cosine similarity.
    """

    def __init__(
        self,
        encoder: nn.Module,
        window: Sequence[int] = (16, 16, 6),
        prototype_rule: str = "paper",
        cell_threshold: float = 0.95,
        alpha: float = 20.0,
    ) -> None:
        super().__init__(encoder)
        self.window = list(window)
        self.prototype_rule = prototype_rule
        self.cell_threshold = cell_threshold
        self.alpha = alpha

    def segment(self, query_features: Tensor, support_features: Tensor, support_mask: Tensor) -> Tensor:
        """Compare query features with local and class-level prototypes.

        Args:
            query_features: ``(B, F, X, Y, Z)``.
            support_features: ``(B, K, F, X, Y, Z)``, of another depth than the query's if need be.
            support_mask: ``(B, K, 1, X, Y, Z)``.

        Returns:
            Scores of background and foreground ``(B, 2, X, Y, Z)``.
        """
        # Equation 3.1: averages over cells. Its strict inequalities would leave out the voxels on two cells' border.
        prototypes = as_prototypes(cell_average(support_features, self.window))
        fraction = cell_average(support_mask.to(support_features.dtype), self.window)
        foreground, background = assign_cells(fraction, self.prototype_rule, self.cell_threshold)
        # Equation 3.2: one prototype of the whole structure for each shot.
        class_prototypes = masked_average(support_features, support_mask)
        # Equation 3.3 with every prototype, wherever it lies, and ALPNet's fusion within each class. Equation 3.4 is
        # the softmax over both classes that follows in to_log_probabilities. Equation 3.5 then weighs the foreground
        # probability against the background's; printed as (P_f + (1 - beta) P_b) / 2 it could not exceed 1/2. As a
        # weighted mean of two opinions on foreground, beta P_f + (1 - beta) (1 - P_b), it is P_f for every beta, since
        # P_b = 1 - P_f: nothing is left to do.
        return local_scores(query_features, prototypes, foreground, background, class_prototypes, self.alpha)


class DiceEpisodeLoss(nn.Module):
    """Soft Dice loss of the query plus that of the support, segmented from the query's prediction (3.6 and 3.7).

    Args:
        alignment_weight: factor lambda of the support's loss; 0: none.
    """

    def __init__(self, alignment_weight: float = 1.0) -> None:
        super().__init__()
        self.alignment_weight = alignment_weight
        # 1 - (2 sum(Y P) + 1) / (sum Y + sum P + 1), no squares.
        self.dice = DiceLoss(smooth_nr=1.0, smooth_dr=1.0, reduction="none")

    def forward(self, outputs: dict[str, Tensor], label: Tensor) -> Tensor:
        """Score the outputs of a training forward pass against query labels ``(B, 1, X, Y, Z)``; returns a scalar.

        An episode whose query was predicted empty has no alignment loss, as in PANet: it has no prototype.
        """
        query = self._losses(outputs["query"], label)
        if self.alignment_weight == 0:
            return query.mean()
        episodes = outputs["support"].shape[:2]
        support = self._losses(outputs["support"].flatten(0, 1), outputs["support_mask"].flatten(0, 1))
        alignment = support.unflatten(0, episodes).mean(1) * (outputs["query_foreground"] > 0)
        return (query + self.alignment_weight * alignment).mean()

    def _losses(self, log_probabilities: Tensor, mask: Tensor) -> Tensor:
        """Losses ``(N,)`` of log-probabilities ``(N, 2, X, Y, Z)`` against masks ``(N, 1, X, Y, Z)``."""
        return self.dice(log_probabilities[:, 1:].exp(), mask.to(log_probabilities.dtype)).flatten()
