"""Dilated ResNet encoders at output stride 8, with the parameter names of the public ImageNet and COCO checkpoints."""

from __future__ import annotations

from collections import OrderedDict

from monai.networks.nets import resnet18, resnet50, resnet101
from torch import Tensor, nn

from ..errors import InputError

_BUILDERS = {18: resnet18, 50: resnet50, 101: resnet101}
STAGE_CHANNELS = {18: (64, 128, 256, 512), 50: (256, 512, 1024, 2048), 101: (256, 512, 1024, 2048)}


class ResNetEncoder(nn.Module):
    """ResNet backbone whose last stages trade stride for dilation, then a linear projection of the features.

    With ``depth=101`` this is the encoder of ADNet, SSL-ALPNet and CRAPNet: the backbone of DeepLabV3 without its head
    (42.50 M parameters) and a bias-free 1 x 1 convolution 2048 -> 256 with neither normalisation nor activation.

    Args:
        depth: 18, 50 or 101.
        feature_channels: channels ``F`` of the output features.
        stages: residual stages kept, 2 to 4; the papers use all 4, fewer make a lighter encoder for a CPU.

    Raises:
        InputError: unknown ``depth`` or ``stages``.
    """

    float32_parts = ("backbone.conv1", "backbone.layer1", "backbone.layer2")  # at inference, see Encoding

    def __init__(self, depth: int = 101, feature_channels: int = 256, stages: int = 4) -> None:
        super().__init__()
        if stages not in (2, 3, 4):
            raise InputError(f"ResNetEncoder has 2 to 4 stages, got {stages}")
        self.backbone = dilated_resnet(depth, stages)
        self.projection = nn.Conv2d(STAGE_CHANNELS[depth][stages - 1], feature_channels, kernel_size=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Encode slices.

        Args:
            image: ``(N, 1, H, W)``, normalised; repeated to the three channels that the backbone expects.

        Returns:
            Features ``(N, F, H / 8, W / 8)``, sizes rounded up.
        """
        return self.projection(self.backbone(image.expand(-1, 3, -1, -1)))


def dilated_resnet(depth: int, stages: int) -> nn.Sequential:
    """Build a ResNet from ``conv1`` to residual stage ``stages``, stages 3 and 4 with dilation instead of stride.

    The backbone of torchvision's DeepLabV3: images ``(N, 3, H, W)`` to features at an eighth of their size.

    Raises:
        InputError: unknown ``depth``.
    """
    if depth not in _BUILDERS:
        raise InputError(f"a ResNet has depth {sorted(_BUILDERS)}, got {depth}")
    net = _BUILDERS[depth](
        spatial_dims=2, n_input_channels=3, conv1_t_stride=2, feed_forward=False, bias_downsample=False
    )
    dilate(net.layer3, first=1, rest=2)
    dilate(net.layer4, first=2, rest=4)
    names = ["conv1", "bn1", "act", "maxpool", "layer1", "layer2", "layer3", "layer4"][: 4 + stages]
    return nn.Sequential(OrderedDict((name, getattr(net, name)) for name in names))


def dilate(layer: nn.Module, first: int, rest: int) -> None:
    """Replace the stride of a residual stage by dilation: ``first`` in its first block, ``rest`` in the others."""
    for index, block in enumerate(layer.children()):
        dilation = first if index == 0 else rest
        for module in block.modules():
            if isinstance(module, nn.Conv2d):
                module.stride = (1, 1)
                if module.kernel_size == (3, 3):
                    module.dilation = module.padding = (dilation, dilation)
