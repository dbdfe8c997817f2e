"""Ignite handlers of our own: weights and training state, reports, failures, saving in the background."""

from .failures import MistakesPass, ScanFailures
from .postprocessing import BackgroundPostprocessing
from .progress import TrainingReport
from .pseudo_validation import PseudoLabelValidation
from .resuming import TrainingState
from .weights import BestWeights, WeightsLoader, WeightsSaver

__all__ = [
    "BackgroundPostprocessing",
    "BestWeights",
    "MistakesPass",
    "PseudoLabelValidation",
    "ScanFailures",
    "TrainingReport",
    "TrainingState",
    "WeightsLoader",
    "WeightsSaver",
]
