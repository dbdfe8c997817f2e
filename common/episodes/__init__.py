"""Training episodes from pseudo-labels: packed slices, published selection probabilities, augmentation, loader."""

from __future__ import annotations

from .augmentation import EpisodeAugmentation
from .loader import EpisodeLoader
from .store import SliceStore

__all__ = ["EpisodeAugmentation", "EpisodeLoader", "SliceStore"]
