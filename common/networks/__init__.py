"""Encoders and the base class of all few-shot segmenters."""

from .canet import CANetEncoder
from .conditioned import ConditionedSegmenter
from .resnet import ResNetEncoder
from .resnext import ResNeXt3DEncoder
from .segmenter import FewShotSegmenter
from .unet import UNet3DEncoder
from .weights import load_encoder, load_network

__all__ = [
    "CANetEncoder",
    "ConditionedSegmenter",
    "FewShotSegmenter",
    "ResNeXt3DEncoder",
    "ResNetEncoder",
    "UNet3DEncoder",
    "load_encoder",
    "load_network",
]
