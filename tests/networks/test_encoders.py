"""Encoders: published sizes, strides and dilations, shapes, and that the compiler takes them."""

import pytest
import torch
from torch import nn

from common.networks import ResNetEncoder
from tests.bundles.networks import CANetEncoder, ResNeXt3DEncoder, UNet3DEncoder


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def small_unet():
    return UNet3DEncoder(feature_channels=4, channels=(2, 4, 8))


def small_resnext():
    return ResNeXt3DEncoder(feature_channels=4, layers=(1, 1, 1, 1), width=4, cardinality=8)


def small_canet():
    return CANetEncoder(depth=18, feature_channels=4)


# Every size odd somewhere: none of the encoders asks for multiples of its stride.
CASES = [
    (small_unet, (13, 16, 9), (13, 16, 9)),
    (small_resnext, (17, 32, 5), (3, 4, 5)),
    (small_canet, (40, 33), (5, 5)),
]


@pytest.mark.parametrize(("build", "size", "features"), CASES)
def test_feature_sizes_and_the_compiled_encoder(build, size, features):
    torch.manual_seed(0)
    encoder = build().eval()
    image = torch.rand(2, 1, *size)
    expected = encoder(image)
    assert expected.shape == (2, 4, *features)
    torch.testing.assert_close(torch.jit.script(encoder)(image), expected)


@pytest.mark.parametrize(("build", "size", "features"), CASES)
def test_every_weight_is_used(build, size, features):
    encoder = build()
    encoder(torch.rand(2, 1, *size)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())


def test_unet_is_the_published_one():
    with torch.device("meta"):
        encoder = UNet3DEncoder()
        assert encoder(torch.empty(1, 1, 128, 128, 24)).shape == (1, 32, 128, 128, 24)
    assert parameters(encoder) == 4_081_904
    convolutions = [module for module in encoder.modules() if isinstance(module, nn.Conv3d)]
    assert [module.out_channels for module in convolutions[:8]] == [16, 32, 32, 64, 64, 128, 128, 256]
    assert [module.out_channels for module in convolutions[8:]] == [128, 128, 64, 64, 32, 32, 32]
    assert [module.bias is not None for module in convolutions] == [False] * 14 + [True]


def test_unet_layers_convolve_normalise_and_leak():
    layer = [module for module in small_unet().contracting[0].modules() if not list(module.children())][:3]
    assert [type(module) for module in layer] == [nn.Conv3d, nn.BatchNorm3d, nn.LeakyReLU]
    assert layer[2].negative_slope == 0.01


def test_unet_features_are_not_rectified():
    torch.manual_seed(0)
    assert (small_unet()(torch.rand(1, 1, 8, 8, 8)) < 0).any()


def test_resnext_is_the_published_one():
    with torch.device("meta"):
        encoder = ResNeXt3DEncoder()
        assert encoder(torch.empty(1, 1, 215, 215, 10)).shape == (1, 256, 27, 27, 10)
    assert parameters(encoder.backbone) == 47_521_216
    assert parameters(encoder.projection) == 2048 * 256
    shapes = {name: tuple(value.shape) for name, value in encoder.backbone.named_parameters()}
    assert shapes["conv1.weight"] == (64, 3, 7, 7, 7)
    assert shapes["layer1.0.conv1.weight"] == (128, 64, 1, 1, 1)
    assert shapes["layer1.0.conv2.weight"] == (128, 4, 3, 3, 3)
    assert shapes["layer1.0.downsample.0.weight"] == (256, 64, 1, 1, 1)
    assert shapes["layer1.0.downsample.1.weight"] == (256,)
    assert shapes["layer3.22.conv2.weight"] == (512, 16, 3, 3, 3)
    assert shapes["layer4.2.conv3.weight"] == (2048, 1024, 1, 1, 1)
    assert not any(name.endswith("conv1.bias") or name.endswith("downsample.0.bias") for name in shapes)


def test_resnext_strides_within_slices_only_and_never_dilates():
    strided = {}
    for name, module in small_resnext().backbone.named_modules():
        if isinstance(module, (nn.Conv3d, nn.MaxPool3d)):
            assert module.dilation in (1, (1, 1, 1))
            if module.stride != (1, 1, 1):
                strided[name] = module.stride
    expected = ["conv1", "maxpool", "layer2.0.conv2", "layer2.0.downsample.0"]
    assert set(strided) == set(expected)
    assert set(strided.values()) == {(1, 2, 2)}


def test_resnext_takes_slices_for_frames():
    torch.manual_seed(0)
    encoder = small_resnext().eval()
    encoder.projection = nn.Identity()
    image = torch.rand(1, 1, 16, 24, 5)
    frames = torch.stack([image[..., z].expand(-1, 3, -1, -1) for z in range(5)], dim=2)
    features = encoder.backbone(frames)
    for z in range(5):
        torch.testing.assert_close(encoder(image)[..., z], features[:, :, z])


def test_canet_joins_two_stages_at_an_eighth():
    with torch.device("meta"):
        encoder = CANetEncoder()
        assert encoder(torch.empty(1, 1, 512, 512)).shape == (1, 256, 64, 64)
        names = set(ResNetEncoder(depth=50).backbone.state_dict())
    assert set(encoder.backbone.state_dict()) == {name for name in names if not name.startswith("layer4.")}
    convolution, activation, dropout = encoder.head
    assert convolution.weight.shape == (256, 512 + 1024, 3, 3) and convolution.bias is not None
    assert convolution.dilation == convolution.padding == (2, 2)
    assert isinstance(activation, nn.ReLU) and isinstance(dropout, nn.Dropout2d) and dropout.p == 0.5


def test_canet_dilates_every_block_of_its_last_stage():
    with torch.device("meta"):
        layer = CANetEncoder().backbone.layer3
    convolutions = [module for module in layer.modules() if isinstance(module, nn.Conv2d)]
    assert all(module.stride == (1, 1) for module in convolutions)
    assert [block.conv2.dilation for block in layer] == [(2, 2)] * 6
    assert [block.conv2.padding for block in layer] == [(2, 2)] * 6


def test_canet_reads_the_second_stage_before_the_third():
    torch.manual_seed(0)
    encoder = small_canet().eval()
    backbone, image = encoder.backbone, torch.rand(1, 1, 32, 32)
    middle = backbone[:-1](image.expand(-1, 3, -1, -1))
    joined = torch.cat([middle, backbone.layer3(middle)], dim=1)
    torch.testing.assert_close(encoder(image), encoder.head(joined))


def test_canet_freezes_its_backbone_on_request():
    frozen = CANetEncoder(depth=18, feature_channels=4, freeze_backbone=True)
    assert not any(parameter.requires_grad for parameter in frozen.backbone.parameters())
    assert all(parameter.requires_grad for parameter in frozen.head.parameters())
    assert all(parameter.requires_grad for parameter in small_canet().parameters())
