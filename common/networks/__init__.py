"""Encoders and the base class of all few-shot segmenters."""

from .conditioned import ConditionedSegmenter
from .resnet import ResNetEncoder
from .segmenter import FewShotSegmenter
from .weights import load_encoder

__all__ = ["ConditionedSegmenter", "FewShotSegmenter", "ResNetEncoder", "load_encoder"]
