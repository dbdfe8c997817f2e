"""LSNet on one page.

Yu, Dang, Tajbakhsh, Terzopoulos, Ding: A location-sensitive local prototype network for few-shot medical image
segmentation. ISBI 2021. Equation numbers are the paper's. No code was released; docs/README.md lists how its open
questions are answered here.

Organs lie at similar places in all people. So the support is covered by overlapping grid cells, each with a foreground
and a background prototype of its own, and a query pixel is compared with those cells only that cover its place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.networks import FewShotSegmenter
from common.prototypes import cosine_similarity


class LSNet(FewShotSegmenter):
    """Location-sensitive local prototype network.

    Args:
        encoder: maps images ``(N, 1, *S)`` to features ``(N, F, *s)``.
        grid_fraction: side of a grid cell as a fraction of the feature map (alpha in the paper).
        grid_size: side in features of the map that the fraction refers to, so that cells of larger slices have the size
            that they had in training; 0: the map at hand.
        overlap: of neighbouring cells along an axis, as a fraction of their side; 0: they touch.
        scale: factor of the cosines before the softmax; the paper has none, which confines probabilities to 0.27-0.73.
        force_background: background where no covering cell holds support foreground.
    """

    def __init__(
        self,
        encoder: nn.Module,
        grid_fraction: float = 0.125,
        grid_size: int = 0,
        overlap: float = 0.5,
        scale: float = 20.0,
        force_background: bool = True,
    ) -> None:
        super().__init__(encoder)
        self.grid_fraction = grid_fraction
        self.grid_size = grid_size
        self.overlap = overlap
        self.scale = scale
        self.force_background = force_background

    def segment(self, query_features: Tensor, support_features: Tensor, support_mask: Tensor) -> Tensor:
        """Compare query features with the prototypes of the cells that cover their place.

        Args:
            query_features: ``(B, F, *s)``.
            support_features: ``(B, K, F, *s)``.
            support_mask: ``(B, K, 1, *S)``.

        Returns:
            Scores of background and foreground ``(B, 2, *s)``.
        """
        size = list(support_features.shape[3:])
        mask = self.mask_at_features(support_mask.to(support_features.dtype), size).flatten(2)
        cells = grid_cells(size, self.grid_fraction, self.overlap, mask, self.grid_size)
        features = support_features.flatten(3)
        background, _ = _cell_prototypes(features, 1.0 - mask, cells)
        foreground, held = _cell_prototypes(features, mask, cells)
        # Equation 3, for each class: the paper's has no class index.
        background = self._best_covering(query_features, background, cells)
        foreground = self._best_covering(query_features, foreground, cells)
        if self.force_background:
            seen = torch.matmul(held.to(cells.dtype), cells).unflatten(1, size) > 0
            foreground = torch.where(seen, foreground, torch.minimum(foreground, background))
        return self.scale * torch.stack([background, foreground], dim=1)

    def mask_at_features(self, support_mask: Tensor, size: list[int]) -> Tensor:
        """See ``FewShotSegmenter``."""
        mask = F.interpolate(support_mask.flatten(0, 1), size=size, mode="bilinear", align_corners=True)
        return mask.unflatten(0, [support_mask.shape[0], support_mask.shape[1]])

    def _best_covering(self, query_features: Tensor, prototypes: Tensor, cells: Tensor) -> Tensor:
        """Greatest cosine ``(B, *s)`` of each place with the prototypes ``(B, G, F)`` of its covering cells."""
        similarity = cosine_similarity(query_features, prototypes).flatten(2)
        best = similarity.masked_fill(cells == 0, -float("inf")).amax(1)
        return best.unflatten(1, query_features.shape[2:])

    @torch.jit.unused
    def episode_outputs(
        self, scores: Tensor, query_features: Tensor, support_features: Tensor, support_mask: Tensor
    ) -> dict[str, Tensor]:
        """Only ``query`` ``(B, 2, *S)``: the paper has no alignment direction."""
        return {"query": self.to_log_probabilities(scores, list(support_mask.shape[3:]))}


def grid_cells(size: list[int], fraction: float, overlap: float, like: Tensor, grid_size: int = 0) -> Tensor:
    """Lay overlapping cells over a feature map, all of them inside of it.

    Args:
        size: feature grid ``*s``.
        fraction: side of a cell as a fraction of the map.
        overlap: of neighbouring cells along an axis, as a fraction of their side.
        like: gives dtype and device.
        grid_size: side of the map that ``fraction`` refers to; 0: each axis of ``size``.

    Returns:
        Coverage ``(G, s_1 s_2)`` of 0 and 1.
    """
    rows = _axis_cells(size[0], fraction, overlap, like, grid_size)
    columns = _axis_cells(size[1], fraction, overlap, like, grid_size)
    return torch.kron(rows, columns)


def _axis_cells(length: int, fraction: float, overlap: float, like: Tensor, grid_size: int = 0) -> Tensor:
    """Coverage ``(cells, length)`` along one axis."""
    reference = grid_size if grid_size > 0 else length
    side = min(length, max(1, int(fraction * reference + 0.5)))
    stride = max(1, int(side * (1.0 - overlap) + 0.5))
    # Where the stride does not divide, the last cell moves back to the border: the paper's 64 features divide.
    count = -((side - length) // stride) + 1
    start = (stride * torch.arange(count, device=like.device)).clamp(max=length - side).unsqueeze(1)
    place = torch.arange(length, device=like.device)
    return ((place >= start) & (place < start + side)).to(like.dtype)


def _cell_prototypes(features: Tensor, mask: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Equation 1: masked average in each cell and shot, zero where the mask is empty, then the mean over shots.

    Args:
        features: ``(B, K, F, n)``.
        mask: ``(B, K, n)``.
        cells: ``(G, n)``.

    Returns:
        Prototypes ``(B, G, F)``, and ``(B, G)`` whether any shot has something of the class in the cell.
    """
    area = torch.matmul(mask, cells.t())
    total = torch.matmul(features * mask.unsqueeze(2), cells.t())
    held = area > 1e-6
    mean = total / area.masked_fill(~held, 1.0).unsqueeze(2) * held.unsqueeze(2)
    return mean.mean(1).transpose(1, 2), held.any(1)
