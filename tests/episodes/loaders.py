"""Loaders of slices and of windows whose options are given in one row, each to the part that takes it."""

from __future__ import annotations

import inspect
from typing import Any

from common.episodes import EpisodeAugmentation, EpisodeLoader, SlicePairs, VolumeAugmentation, WindowPairs


def slice_loader(dataset: Any, **options: Any) -> EpisodeLoader:
    """Make a loader of slices."""
    pairs, augmentation = _take(SlicePairs, options), _take(EpisodeAugmentation, options)
    return EpisodeLoader(dataset, pairs, augmentation, **options)


def window_loader(dataset: Any, augmentation: VolumeAugmentation | None = None, **options: Any) -> EpisodeLoader:
    """Make a loader of windows in volumes."""
    pairs = _take(WindowPairs, options)
    return EpisodeLoader(dataset, pairs, augmentation or _take(VolumeAugmentation, options), **options)


def _take(part: Any, options: dict[str, Any]) -> Any:
    names = inspect.signature(part).parameters.keys() & options.keys()
    return part(**{name: options.pop(name) for name in names})
