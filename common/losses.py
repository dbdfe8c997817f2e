"""Episode losses: functions first, thin modules over them.

A batch's loss is the mean of its episodes' losses, so that several episodes per step weigh like single ones.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def weighted_nll(log_probabilities: Tensor, label: Tensor, weights: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """Negative log-likelihood of background and foreground, averaged with class weights inside each image.

    The sum is divided by the sum of the weights, as the released ADNet and ALPNet code does; the papers' equations
    print 1 / (H W).

    Args:
        log_probabilities: ``(N, 2, *S)``.
        label: ``(N, 1, *S)``, 0 background, 1 foreground.
        weights: of background and foreground.

    Returns:
        Loss of each image ``(N,)``.
    """
    foreground = (label == 1).to(log_probabilities.dtype)
    background = (label == 0).to(log_probabilities.dtype)
    weight = torch.cat([weights[0] * background, weights[1] * foreground], dim=1).flatten(1)
    loss = -(weight * log_probabilities.flatten(1)).sum(1)
    return loss / weight.sum(1).clamp_min(torch.finfo(weight.dtype).tiny)


def alignment_loss(outputs: dict[str, Tensor], skip_empty: bool = True) -> Tensor:
    """Unweighted NLL of the support predicted from the query's own prediction (PANet; ADNet, equation 5).

    Args:
        outputs: of ``FewShotSegmenter.episode_outputs``.
        skip_empty: zero where no query cell was predicted foreground, as in PANet and ADNet; the released ALPNet code
            does not skip.

    Returns:
        Loss of each episode ``(B,)``.
    """
    support = outputs["support"]
    loss = weighted_nll(support.flatten(0, 1), outputs["support_mask"].flatten(0, 1)).unflatten(0, support.shape[:2])
    return loss.mean(1) * (outputs["query_foreground"] > 0) if skip_empty else loss.mean(1)


class EpisodeLoss(nn.Module):
    """Query loss plus alignment loss of a batch of episodes.

    Args:
        background_weight: class weight of background in the query loss; foreground weighs 1.
        alignment_weight: factor of the alignment loss; 0: none, and ``outputs`` needs only ``query``.
        skip_empty_alignment: no alignment loss where no query cell was predicted foreground.
    """

    def __init__(
        self, background_weight: float = 0.1, alignment_weight: float = 1.0, skip_empty_alignment: bool = True
    ) -> None:
        super().__init__()
        self.background_weight = background_weight
        self.alignment_weight = alignment_weight
        self.skip_empty_alignment = skip_empty_alignment

    def forward(self, outputs: dict[str, Tensor], label: Tensor) -> Tensor:
        """Score the outputs of a training forward pass against query labels ``(B, 1, *S)``; returns a scalar."""
        query = weighted_nll(outputs["query"], label, (self.background_weight, 1.0))
        if self.alignment_weight == 0:
            return query.mean()
        return (query + self.alignment_weight * alignment_loss(outputs, self.skip_empty_alignment)).mean()
