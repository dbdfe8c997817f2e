"""Training episodes from pseudo-labels or labels: a loader of pairs of slices or windows, and their augmentation."""

from __future__ import annotations

from .augmentation import EpisodeAugmentation
from .intensity import IntensityAugmentation
from .loader import EpisodeLoader
from .slices import SlicePairs
from .store import SliceStore
from .volume_augmentation import VolumeAugmentation
from .windows import WindowPairs

__all__ = [
    "EpisodeAugmentation",
    "EpisodeLoader",
    "IntensityAugmentation",
    "SlicePairs",
    "SliceStore",
    "VolumeAugmentation",
    "WindowPairs",
]
