"""3D U-Net that keeps image resolution: the encoder of 3D ALPNet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn
from torch.nn import functional as F


class UNet3DEncoder(nn.Module):
    """3D U-Net without a segmentation head, trained from scratch; 4,081,904 parameters as published (4.1 M).

    The paper names pytorch-3dunet. Its text says up-convolutions of stride 2, but only nearest-neighbour upsampling
    gives its number of parameters. The order within a layer is not given: convolution, batch normalisation, leaky ReLU.

    Args:
        feature_channels: channels ``F`` of the output features.
        channels: channels of the levels, finest first; the paper has four levels.
    """

    def __init__(self, feature_channels: int = 32, channels: Sequence[int] = (32, 64, 128, 256)) -> None:
        super().__init__()
        inputs = [1, *channels]
        self.contracting = nn.ModuleList(
            _two_convolutions(inputs[level], width // 2, width) for level, width in enumerate(channels)
        )
        self.expanding = nn.ModuleList(
            _two_convolutions(channels[level] + channels[level + 1], channels[level], channels[level])
            for level in reversed(range(len(channels) - 1))
        )
        self.projection = nn.Conv3d(channels[0], feature_channels, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Encode volumes.

        Args:
            image: ``(N, 1, X, Y, Z)``, normalised; each side at least ``2 ** (levels - 1)`` voxels.

        Returns:
            Features ``(N, F, X, Y, Z)``.
        """
        features = image
        skips: list[Tensor] = []
        for level, block in enumerate(self.contracting):
            features = block(features if level == 0 else F.max_pool3d(features, 2))
            skips.append(features)
        skips.pop()
        for block in self.expanding:
            skip = skips.pop()
            # Towards the skip's own size: sides need not be multiples of 8.
            features = F.interpolate(features, size=skip.shape[2:], mode="nearest")
            features = block(torch.cat([skip, features], dim=1))
        return self.projection(features)


def _two_convolutions(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    act = ("leakyrelu", {"negative_slope": 0.01, "inplace": True})
    return nn.Sequential(
        *(
            Convolution(3, before, after, norm="batch", act=act, adn_ordering="NA", bias=False)
            for before, after in [(inputs, middle), (middle, outputs)]
        )
    )
