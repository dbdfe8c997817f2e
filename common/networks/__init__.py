"""The base class of all few-shot segmenters, and the encoder that several methods share."""

from .conditioned import ConditionedSegmenter
from .resnet import ResNetEncoder
from .segmenter import FewShotSegmenter
from .weights import load_encoder, load_network

__all__ = ["ConditionedSegmenter", "FewShotSegmenter", "ResNetEncoder", "load_encoder", "load_network"]
