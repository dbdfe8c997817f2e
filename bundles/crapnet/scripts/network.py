"""CRAPNet on one page; its two modules are in attention.py and pooling.py.

Ding, Sun, Tang, Cai, Yan: Few-shot medical image segmentation with cycle-resemblance attention. WACV 2023. Equation
numbers are the paper's. No code was released; docs/README.md lists how its open questions are answered here.

Before any prototype is taken, support and query see each other: a pixel whose best match in the other image leads back
to a pixel like itself gains weight. The rest is SSL-ALPNet with prototypes pooled by learned kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.networks import FewShotSegmenter
from common.prototypes import as_prototypes, assign_cells, cell_average, local_scores, masked_average

from .attention import CycleResemblanceBlock
from .pooling import ContentAwarePooling


class CRAPNet(FewShotSegmenter):
    """Cycle-resemblance attention prototype network.

    Args:
        encoder: maps images ``(N, 1, *S)`` to features ``(N, F, *s)``.
        feature_channels: channels ``F``.
        blocks: attention blocks of each branch.
        branches: 2: support and query have blocks of their own and meet the other side as the encoder left it;
            1: shared blocks update both sides together (table 4).
        inner_channels: of the blocks, see ``CycleResemblanceBlock``, also for the next three.
        tied_embedding: support and query are embedded alike.
        compare_embeddings: resemblance of embeddings instead of features.
        times_pixels: weights of mean 1; otherwise of sum 1, with which the attention does next to nothing.
        encoded_features: class-level prototype and classifier use the encoder's features, as equations 15 and 16 print
            them; the query branch then has no effect.
        pool_factor: side of a prototype's cell in feature pixels.
        pool_kernel: side of the window that a prototype is pooled from.
        pool_centred: windows around the cell's middle instead of its first pixel.
        prototype_rule: ``code`` or ``paper`` (of ALPNet), see ``common.prototypes.assign_cells``.
        cell_threshold: foreground fraction that makes a cell foreground.
        alpha: scale of the cosine similarity.
    """

    def __init__(
        self,
        encoder: nn.Module,
        feature_channels: int = 256,
        blocks: int = 5,
        branches: int = 2,
        inner_channels: int = 128,
        tied_embedding: bool = True,
        compare_embeddings: bool = True,
        times_pixels: bool = True,
        encoded_features: bool = False,
        pool_factor: int = 4,
        pool_kernel: int = 5,
        pool_centred: bool = False,
        prototype_rule: str = "code",
        cell_threshold: float = 0.95,
        alpha: float = 20.0,
    ) -> None:
        super().__init__(encoder)
        options = (inner_channels, tied_embedding, compare_embeddings, times_pixels)
        self.support_blocks = nn.ModuleList(CycleResemblanceBlock(feature_channels, *options) for _ in range(blocks))
        separate = blocks if branches == 2 and not encoded_features else 0
        self.query_blocks = nn.ModuleList(CycleResemblanceBlock(feature_channels, *options) for _ in range(separate))
        self.pool = ContentAwarePooling(feature_channels, pool_factor, pool_kernel, centred=pool_centred)
        self.branches = branches
        self.encoded_features = encoded_features
        self.pool_factor = pool_factor
        self.prototype_rule = prototype_rule
        self.cell_threshold = cell_threshold
        self.alpha = alpha

    def relate(self, query_features: Tensor, support_features: Tensor) -> tuple[Tensor, Tensor]:
        """Let support and query attend to each other (equations 1 to 13); shots do not see one another.

        Args:
            query_features: ``(B, F, *s)``.
            support_features: ``(B, K, F, *s)``.

        Returns:
            Both, with ``encoded_features`` followed by the encoder's own features along the channels.
        """
        episodes, shots = support_features.shape[0], support_features.shape[1]
        query, support = query_features, support_features.flatten(0, 1)
        queries = query_features.repeat_interleave(shots, dim=0).unsqueeze(1)
        if self.branches == 2:
            for block in self.support_blocks:
                support = block(support, queries)
            for block in self.query_blocks:
                query = block(query, support_features)
        else:
            for block in self.support_blocks:
                queries = query.repeat_interleave(shots, dim=0).unsqueeze(1)
                supports = support.unflatten(0, [episodes, shots])
                support, query = block(support, queries), block(query, supports)
        support = support.unflatten(0, [episodes, shots])
        if self.encoded_features:
            return torch.cat([query, query_features], dim=1), torch.cat([support, support_features], dim=2)
        return query, support

    def segment(self, query_features: Tensor, support_features: Tensor, support_mask: Tensor) -> Tensor:
        """Compare query features with local and class-level prototypes.

        Args:
            query_features: of ``relate``, ``(B, F, *s)``.
            support_features: of ``relate``, ``(B, K, F, *s)``.
            support_mask: ``(B, K, 1, *S)``, or at feature size in the alignment direction.

        Returns:
            Scores of background and foreground ``(B, 2, *s)``.
        """
        encoded = support_features
        if self.encoded_features:
            support_features, encoded = support_features.chunk(2, dim=2)
            query_features = query_features.chunk(2, dim=1)[1]
        mask = self.mask_at_features(support_mask.to(support_features.dtype), list(support_features.shape[3:]))
        # Equation 14. The paper does not say which class a local prototype has: ALPNet's rule for its cell.
        cells = self.pool(support_features.flatten(0, 1)).unflatten(0, support_features.shape[:2])
        fraction = cell_average(mask, [self.pool_factor] * 2)
        foreground, background = assign_cells(fraction, self.prototype_rule, self.cell_threshold)
        # Equation 15.
        class_prototypes = masked_average(encoded, mask)
        # Equations 16 and 17, whose sum over the prototypes of a class is missing in print.
        return local_scores(query_features, as_prototypes(cells), foreground, background, class_prototypes, self.alpha)
