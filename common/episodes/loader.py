"""Batches of training episodes of slices: two slices, and one supervoxel or annotated organ as mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .augmentation import EpisodeAugmentation
from .labelled import LabelledCandidates, find_labelled
from .sampling import AreaRule, Candidates, Pairing, find_candidates
from .store import SliceStore
from .stream import Chapters, EpisodeStream, Target, check_choice


class EpisodeLoader(EpisodeStream):
    """Stream of one-shot episodes of slices (ADNet, SSL-ALPNet; with annotated organs LSNet), see `EpisodeStream`.

    Construction reads nothing: the slices are packed when iteration begins.

    Args:
        dataset: prepared volumes, see `pack_volumes`; its `fill()`, if it has one, is called first.
        batch_size, episodes_per_epoch, seed, device, rank, world_size: see `EpisodeStream`.
        augmentation: ranges of the random changes; None: those of the released code.
        pairing: `adjacent` or `same`, see `find_candidates`, or `scans`, see `find_labelled`.
        min_area: smallest area in pixels.
        min_area_rule, excluded_labels: which slice pairs are drawn, see `find_candidates`.
        swap_probability, intensity_target, geometry_target: see `EpisodeStream`.
        pack_dir, cache_bytes: slices that take more than `cache_bytes` are packed in this folder and read from there,
            see `SliceStore.build`; None: they are always held in memory.

    Raises:
        InputError: an option is out of its range.
    """

    def __init__(
        self,
        dataset: Sequence[Mapping[str, Any]] | Chapters,
        batch_size: int = 1,
        episodes_per_epoch: int = 1000,
        seed: int = 2021,
        device: str | torch.device = "cpu",
        augmentation: EpisodeAugmentation | None = None,
        pairing: Pairing = "adjacent",
        min_area: int = 200,
        min_area_rule: AreaRule = "first",
        excluded_labels: Sequence[int] = (),
        swap_probability: float = 0.5,
        intensity_target: Target = "one",
        geometry_target: Target = "one",
        rank: int | None = None,
        world_size: int | None = None,
        pack_dir: str | Path | None = None,
        cache_bytes: int = 2**31,
    ) -> None:
        super().__init__(
            batch_size,
            episodes_per_epoch,
            seed,
            device,
            EpisodeAugmentation() if augmentation is None else augmentation,
            intensity_target,
            geometry_target,
            swap_probability,
            rank,
            world_size,
        )
        check_choice("pairing", pairing, get_args(Pairing))
        check_choice("min_area_rule", min_area_rule, get_args(AreaRule))
        if min_area < 1:
            raise InputError(f"min_area must be 1 or more, got {min_area}")
        self.dataset = dataset
        self.pairing: Pairing = pairing
        self.min_area = min_area
        self.min_area_rule: AreaRule = min_area_rule
        self.excluded_labels = tuple(excluded_labels)
        self.pack_dir = pack_dir
        self.cache_bytes = cache_bytes

    def episodes(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """Make a batch of the episodes with these numbers; the position stays.

        Args:
            numbers: `B` episode numbers from 0 up.

        Returns:
            A batch, see `EpisodeStream.__iter__`.
        """
        store, candidates = self._source_of(numbers[0])
        uniform, parameters = self._draw(numbers, 5, store.size)
        drawn = candidates.draw(uniform[:, :3])
        # Labelled pairs are drawn with a third number, and both orders alike: nothing is swapped.
        swap = (uniform[:, 2] < self.swap_probability) & (self.pairing != "scans")
        # All queries first, then all supports: both are then contiguous, and row b + B is the support of row b.
        query, support = np.where(swap, drawn.first, drawn.second), np.where(swap, drawn.second, drawn.first)
        image, supervoxels = store.gather(np.concatenate([query, support]))
        return self._make_batch(image, supervoxels, np.tile(drawn.supervoxel, 2), parameters, uniform[:, 3:5])

    def _prepare(self, dataset: Sequence[Mapping[str, Any]]) -> tuple[SliceStore, Candidates | LabelledCandidates]:
        store = SliceStore.build(dataset, self.pack_dir, self.device, self.cache_bytes)
        if self.pairing == "scans":
            return store, find_labelled(store.pack, self.min_area, self.excluded_labels)
        return store, find_candidates(store.pack, self.pairing, self.min_area, self.min_area_rule, self.excluded_labels)
