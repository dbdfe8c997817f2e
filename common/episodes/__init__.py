"""Training episodes from pseudo-labels or labels: packed slices, selection probabilities, augmentation, loaders."""

from __future__ import annotations

from .augmentation import EpisodeAugmentation
from .intensity import IntensityAugmentation
from .loader import EpisodeLoader
from .store import SliceStore
from .volume_augmentation import VolumeAugmentation
from .volumes import VolumeEpisodeLoader

__all__ = [
    "EpisodeAugmentation",
    "EpisodeLoader",
    "IntensityAugmentation",
    "SliceStore",
    "VolumeAugmentation",
    "VolumeEpisodeLoader",
]
