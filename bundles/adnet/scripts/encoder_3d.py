"""3D ResNeXt with the parameter names of the public Kinetics checkpoint: the encoder of ADNet in 3D."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.nets.resnet import ResNetBottleneck
from torch import Tensor, nn

from common.errors import InputError


class ResNeXt3DEncoder(nn.Module):
    """3D ResNeXt that keeps every slice, then a linear projection of the features (released ADNet code).

    The defaults are ResNeXt-101 of the 3D-ResNets-PyTorch release (47.52 M parameters without its head) with stride 1
    across slices throughout, and neither stride nor dilation in the last two stages; then a bias-free 1 x 1 x 1
    convolution 2048 -> 256. ``resnext-101-kinetics.pth`` of that release fits.

    Args:
        feature_channels: channels ``F`` of the output features.
        layers: blocks of each stage.
        width: channels of the first convolution; stages have 4, 8, 16 and 32 times as many.
        cardinality: groups of the blocks' middle convolution; divides ``2 * width``.

    Raises:
        InputError: ``cardinality`` does not divide ``2 * width``.
    """

    float32_parts = ("backbone.conv1", "backbone.layer1", "backbone.layer2")  # at inference, see Encoding

    def __init__(
        self, feature_channels: int = 256, layers: Sequence[int] = (3, 4, 23, 3), width: int = 64, cardinality: int = 32
    ) -> None:
        super().__init__()
        if 2 * width % cardinality:
            raise InputError(f"cardinality must divide 2 * width = {2 * width}, got {cardinality}")
        self.backbone = nn.Sequential()
        self.backbone.add_module("conv1", nn.Conv3d(3, width, 7, stride=(1, 2, 2), padding=3, bias=False))
        self.backbone.add_module("bn1", nn.BatchNorm3d(width))
        self.backbone.add_module("act", nn.ReLU(inplace=True))
        self.backbone.add_module("maxpool", nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)))
        inputs = width
        for index, blocks in enumerate(layers):
            stride = (1, 2, 2) if index == 1 else (1, 1, 1)
            middle = 2 * width * 2**index
            stage = [_Block(inputs, middle, stride, cardinality)]
            inputs = 2 * middle
            stage += [_Block(inputs, middle, (1, 1, 1), cardinality) for _ in range(blocks - 1)]
            self.backbone.add_module(f"layer{index + 1}", nn.Sequential(*stage))
        for module in self.backbone.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.projection = nn.Conv3d(inputs, feature_channels, kernel_size=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Encode volumes.

        Args:
            image: ``(N, 1, X, Y, Z)``, normalised; repeated to the three channels that the backbone expects.

        Returns:
            Features ``(N, F, X / 8, Y / 8, Z)``, sizes rounded up.
        """
        # The backbone was made for videos, (N, 3, frames, height, width): the slices are the frames.
        video = image.expand(-1, 3, -1, -1, -1).permute(0, 1, 4, 2, 3)
        return self.projection(self.backbone(video)).permute(0, 1, 3, 4, 2)


class _Block(ResNetBottleneck):
    """MONAI's bottleneck with grouped middle convolution and ResNeXt's expansion; projects where the shape changes."""

    expansion = 2

    def __init__(self, inputs: int, middle: int, stride: tuple[int, int, int], cardinality: int) -> None:
        outputs = middle * self.expansion
        downsample = None
        if inputs != outputs:
            convolution = nn.Conv3d(inputs, outputs, kernel_size=1, stride=stride, bias=False)
            downsample = nn.Sequential(convolution, nn.BatchNorm3d(outputs))
        super().__init__(inputs, middle, downsample=downsample)
        self.conv2 = nn.Conv3d(middle, middle, 3, stride=stride, padding=1, groups=cardinality, bias=False)
