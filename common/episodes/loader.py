"""Batches of training episodes: numbered, divided into ranks and epochs, with a position to go on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..speed.ranks import rank_and_size
from .augmentation import AugmentationParameters, EpisodeAugmentation
from .pairs import DrawPairs, PairSource, check_choice
from .store import SliceStore, send

Target = Literal["one", "query", "both", "none"]

_COUNTS: dict[Target, int] = {"one": 1, "query": 1, "both": 2, "none": 0}
_MASK = (1 << 64) - 1


@runtime_checkable
class Chapters(Protocol):
    """A training set without end: for each so many episodes it gives other volumes, which depend on the number alone.

    Attributes:
        chapter_episodes: episodes that are drawn from one chapter. A batch takes the chapter of its first episode.
    """

    chapter_episodes: int

    def chapter(self, number: int) -> Sequence[Mapping[str, Any]]:
        """Give the volumes of a chapter, from 0 up."""
        ...


class EpisodeLoader:
    """Endless stream of one-shot episodes, cut into epochs.

    Episode ``i`` is a pure function of ``seed`` and ``i``; on one kind of device it has the same bits for every batch
    size and number of processes, and after a resume. Rank ``r`` of ``w`` takes the episodes with ``i mod w = r``. Each
    epoch goes on where the last one stopped; ``state_dict()`` holds the position, which counts the episodes handed out.

    Construction reads nothing: the volumes are packed when iteration begins.

    Args:
        dataset: prepared volumes, see ``pack_volumes``; its ``fill()``, if it has one, is called first.
        pairs: which two images make an episode.
        augmentation: how they are changed; it fits the pairs, slices or windows of volumes.
        intensity_target: whose intensity changes: ``one`` (query or support with probability 0.5 each), ``query``,
            ``both`` (independently) or ``none``.
        geometry_target: whose geometry changes, drawn independently of ``intensity_target``.
        batch_size: episodes per batch of one process.
        episodes_per_epoch: over all processes; an epoch is rounded up to whole batches.
        seed: names the stream.
        device: where batches are made and augmented.
        rank: number of this process; None: from ``torch.distributed``, 0 without it.
        world_size: number of processes; None: from ``torch.distributed``, 1 without it.
        pack_dir: volumes that take more than ``cache_bytes`` are packed in this folder and read from there, see
            ``SliceStore.build``; None: they are always held in memory.
        cache_bytes: see ``pack_dir``.

    Raises:
        InputError: an option is out of its range.
    """

    def __init__(
        self,
        dataset: Sequence[Mapping[str, Any]] | Chapters,
        pairs: PairSource,
        augmentation: EpisodeAugmentation,
        intensity_target: Target = "one",
        geometry_target: Target = "one",
        batch_size: int = 1,
        episodes_per_epoch: int = 1000,
        seed: int = 2021,
        device: str | torch.device = "cpu",
        rank: int | None = None,
        world_size: int | None = None,
        pack_dir: str | Path | None = None,
        cache_bytes: int = 2**31,
    ) -> None:
        check_choice("intensity_target", intensity_target, Target)
        check_choice("geometry_target", geometry_target, Target)
        if min(batch_size, episodes_per_epoch) < 1:
            raise InputError(
                f"batch_size and episodes_per_epoch must be 1 or more, got {batch_size} and {episodes_per_epoch}"
            )
        if (rank is None) != (world_size is None):
            raise InputError(f"give both rank and world_size or neither, got {rank} and {world_size}")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise InputError(f"rank must lie in [0, world_size), got {rank} of {world_size}")
        self.dataset = dataset
        self.pairs = pairs
        self.augmentation = augmentation
        self.intensity_target: Target = intensity_target
        self.geometry_target: Target = geometry_target
        self.batch_size = batch_size
        self.episodes_per_epoch = episodes_per_epoch
        self.seed = seed
        self.device = torch.device(device)
        self.rank = rank
        self.world_size = world_size
        self.pack_dir = pack_dir
        self.cache_bytes = cache_bytes
        self._episode = 0
        self._chapter = 0  # that ``_found`` belongs to
        self._found: tuple[SliceStore, DrawPairs] | None = None

    def __len__(self) -> int:
        """Batches per epoch for this process."""
        return -(-self.episodes_per_epoch // (self.batch_size * self._processes()[1]))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of one epoch, from the present position.

        Yields:
            ``image`` ``(B, 1, *S)`` and ``label`` ``(B, 1, *S)`` of the query; ``support_image`` and ``support_mask``
            ``(B, 1, 1, *S)``; all float32 on the device, masks of 0 and 1.
        """
        rank, world_size = self._processes()
        for _ in range(len(self)):
            start = self._episode
            first = start + (rank - start) % world_size
            step = world_size * self.batch_size
            batch = self.episodes(range(first, first + step, world_size))
            # Before the batch is handed out: whoever holds it may save the position or never come back.
            self._episode = start + step
            yield batch

    def episodes(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """Make a batch of the episodes with these numbers; the position stays.

        Args:
            numbers: ``B`` episode numbers from 0 up.

        Returns:
            A batch, see ``__iter__``.
        """
        store, draw = self._find(numbers[0])
        uniform, parameters = self._sample(numbers, store.size)
        image, supervoxels, wanted, place = draw(uniform)
        number = send(torch.from_numpy(wanted.astype(np.int16)), self.device)
        mask = (supervoxels == number.view(-1, *[1] * (supervoxels.dim() - 1))).to(image.dtype)
        sides = uniform[:, self.pairs.sides]
        image, mask = self.augmentation.apply(
            image,
            mask,
            AugmentationParameters(*(send(tensor, self.device) for tensor in parameters)),
            send(_rows(self.intensity_target, sides[:, 0]), self.device),
            send(_rows(self.geometry_target, sides[:, 1]), self.device),
            **place,
        )
        batch = len(numbers)
        return {
            "image": image[:batch],
            "label": mask[:batch],
            "support_image": image[batch:, None],
            "support_mask": mask[batch:, None],
        }

    def on(self, dataset: Sequence[Mapping[str, Any]], seed: int) -> EpisodeLoader:
        """Return the same stream from other volumes, at its beginning.

        Args:
            dataset: prepared volumes.
            seed: names the stream.
        """
        other = copy(self)
        other.dataset, other.seed, other._found, other._episode = dataset, seed, None, 0
        return other

    def state_dict(self) -> dict[str, Tensor]:
        """Give the position: the number of episodes handed out, over all processes."""
        return {"episode": torch.tensor(self._episode)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a position."""
        self._episode = int(state["episode"])

    def _find(self, episode: int) -> tuple[SliceStore, DrawPairs]:
        """Give what an episode is drawn from; packed on first use, and where a chapter begins."""
        dataset = self.dataset
        chapter = episode // dataset.chapter_episodes if isinstance(dataset, Chapters) else 0
        if self._found is None or chapter != self._chapter:
            volumes = dataset.chapter(chapter) if isinstance(dataset, Chapters) else dataset
            store = SliceStore.build(volumes, self.pack_dir, self.device, self.cache_bytes)
            self.augmentation.check(store.pack)
            self._chapter, self._found = chapter, (store, self.pairs.find(store))
        return self._found

    def _sample(
        self, episodes: Sequence[int], size: tuple[int, int]
    ) -> tuple[NDArray[np.float64], AugmentationParameters]:
        """Draw the uniform numbers ``(B, numbers)`` of the pairs, and the augmentation of each episode."""
        generator, noise_generator = torch.Generator(), torch.Generator(self.device)
        intensities, geometries = _COUNTS[self.intensity_target], _COUNTS[self.geometry_target]
        numbers, parameters = [], []
        for episode in episodes:
            generator.manual_seed(episode_seed(self.seed, episode, stream=0))
            noise_generator.manual_seed(episode_seed(self.seed, episode, stream=1))
            numbers.append(torch.rand(self.pairs.numbers, generator=generator, dtype=torch.float64))
            parameters.append(self.augmentation.sample(generator, noise_generator, size, intensities, geometries))
        return torch.stack(numbers).numpy(), AugmentationParameters.cat(parameters)

    def _processes(self) -> tuple[int, int]:
        if self.rank is not None and self.world_size is not None:
            return self.rank, self.world_size
        return rank_and_size()


def episode_seed(seed: int, episode: int, stream: int = 0) -> int:
    """Mix a seed, an episode number and a stream number into 64 bits (splitmix64, Steele et al. 2014).

    Args:
        seed: of the training run.
        episode: number of the episode.
        stream: tells generators of one episode apart.
    """
    state = 0
    for number in (seed, episode, stream):
        state = (state + number + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def _rows(target: Target, numbers: NDArray[np.float64]) -> Tensor:
    """Rows of the batch (queries, then supports) that a change applies to, in the order of the drawn parameters."""
    batch = len(numbers)
    episode = np.arange(batch)
    if target == "one":
        return torch.from_numpy(np.where(numbers < 0.5, episode, episode + batch))
    if target == "query":
        return torch.from_numpy(episode)
    if target == "both":
        return torch.from_numpy(np.stack([episode, episode + batch], 1).ravel())
    return torch.empty(0, dtype=torch.int64)
