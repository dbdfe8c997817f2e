"""LSNet's encoder: a ResNet-50 that joins two of its stages, as in CANet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.networks.resnet import STAGE_CHANNELS, dilate, dilated_resnet


class CANetEncoder(nn.Module):
    """ResNet without its last stage; stages 2 and 3 together give the features (released CANet code).

    LSNet names CANet's customised ResNet-50 (Zhang et al., CVPR 2019) and nothing more. One deviation: CANet's max-pool
    rounds sizes up, so that 512 pixels would give 65 cells; with 64 LSNet's grids cover every cell.

    Args:
        depth: 50; 18 makes a lighter encoder for a CPU.
        feature_channels: channels ``F`` of the output features.
        dropout: probability that training zeroes a whole feature channel.
        freeze_backbone: leave the pretrained backbone untrained, normalisation included (released CANet code; LSNet
            trains end-to-end). Running statistics still follow the data in training mode, as in that code.

    Raises:
        InputError: unknown ``depth``.
    """

    float32_parts = ("backbone.conv1", "backbone.layer1", "backbone.layer2")  # at inference, see Encoding

    def __init__(
        self, depth: int = 50, feature_channels: int = 256, dropout: float = 0.5, freeze_backbone: bool = False
    ) -> None:
        super().__init__()
        self.backbone = dilated_resnet(depth, stages=3)
        dilate(self.backbone[-1], first=2, rest=2)  # unlike DeepLab's, the first block is dilated too
        self.backbone.requires_grad_(not freeze_backbone)
        self.head = nn.Sequential(
            nn.Conv2d(sum(STAGE_CHANNELS[depth][1:3]), feature_channels, kernel_size=3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Dropout2d(dropout),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Encode slices.

        Args:
            image: ``(N, 1, H, W)``, normalised; repeated to the three channels that the backbone expects.

        Returns:
            Features ``(N, F, H / 8, W / 8)``, sizes rounded up; none is negative.
        """
        middle = deep = image.expand(-1, 3, -1, -1)
        for stage in self.backbone:
            middle, deep = deep, stage(deep)
        return self.head(torch.cat([middle, deep], dim=1))
