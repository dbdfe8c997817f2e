"""What every episode loader shares: numbered episodes, their division into ranks and epochs, and the position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .augmentation import AugmentationParameters, EpisodeAugmentation
from .store import send

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


class EpisodeStream:
    """Endless stream of episodes, cut into epochs; subclasses define `episodes(numbers)`.

    Episode `i` is a pure function of `seed` and `i`; on one kind of device it has the same bits for every batch size
    and number of processes, and after a resume. Rank `r` of `w` takes the episodes with `i mod w = r`. Each epoch goes
    on where the last one stopped; `state_dict()` holds the position, which counts the episodes handed out.

    Args:
        batch_size: episodes per batch of one process.
        episodes_per_epoch: over all processes; an epoch is rounded up to whole batches.
        seed: names the stream.
        device: where batches are made and augmented.
        augmentation: ranges of the random changes.
        intensity_target: whose intensity changes: `one` (query or support with probability 0.5 each), `query`, `both`
            (independently) or `none`.
        geometry_target: whose geometry changes, drawn independently of `intensity_target`.
        swap_probability: probability that the first image drawn is the query instead of the support.
        rank: number of this process; None: from `torch.distributed`, 0 without it.
        world_size: number of processes; None: from `torch.distributed`, 1 without it.

    Raises:
        InputError: an option is out of its range.
    """

    dataset: Sequence[Mapping[str, Any]] | Chapters
    _source: Any = None  # what a subclass makes of the dataset on first use, or of the present chapter
    _chapter: int | None = None

    def __init__(
        self,
        batch_size: int,
        episodes_per_epoch: int,
        seed: int,
        device: str | torch.device,
        augmentation: EpisodeAugmentation,
        intensity_target: Target,
        geometry_target: Target,
        swap_probability: float,
        rank: int | None,
        world_size: int | None,
    ) -> None:
        check_choice("intensity_target", intensity_target, get_args(Target))
        check_choice("geometry_target", geometry_target, get_args(Target))
        if min(batch_size, episodes_per_epoch) < 1:
            raise InputError(
                f"batch_size and episodes_per_epoch must be 1 or more, got {batch_size} and {episodes_per_epoch}"
            )
        if not 0 <= swap_probability <= 1:
            raise InputError(f"swap_probability must lie in [0, 1], got {swap_probability}")
        if (rank is None) != (world_size is None):
            raise InputError(f"give both rank and world_size or neither, got {rank} and {world_size}")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise InputError(f"rank must lie in [0, world_size), got {rank} of {world_size}")
        self.batch_size = batch_size
        self.episodes_per_epoch = episodes_per_epoch
        self.seed = seed
        self.device = torch.device(device)
        self.augmentation = augmentation
        self.intensity_target: Target = intensity_target
        self.geometry_target: Target = geometry_target
        self.swap_probability = swap_probability
        self.rank = rank
        self.world_size = world_size
        self._episode = 0

    def __len__(self) -> int:
        """Batches per epoch for this process."""
        return -(-self.episodes_per_epoch // (self.batch_size * self._processes()[1]))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of one epoch, from the present position.

        Yields:
            `image` `(B, 1, *S)` and `label` `(B, 1, *S)` of the query; `support_image` and `support_mask`
            `(B, 1, 1, *S)`; all float32 on the device, masks of 0 and 1.
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
            numbers: `B` episode numbers from 0 up.

        Returns:
            A batch, see `__iter__`.
        """
        raise NotImplementedError

    def on(self, dataset: Sequence[Mapping[str, Any]], seed: int) -> EpisodeStream:
        """Return the same stream from other volumes, at its beginning.

        Args:
            dataset: prepared volumes.
            seed: names the stream.
        """
        other = copy(self)
        other.dataset, other.seed, other._source, other._episode = dataset, seed, None, 0
        return other

    def state_dict(self) -> dict[str, Tensor]:
        """Give the position: the number of episodes handed out, over all processes."""
        return {"episode": torch.tensor(self._episode)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a position."""
        self._episode = int(state["episode"])

    def _source_of(self, episode: int) -> Any:
        """Give what an episode is drawn from."""
        if not isinstance(self.dataset, Chapters):
            self._source = self._source or self._prepare(self.dataset)
            return self._source
        number = episode // self.dataset.chapter_episodes
        if self._source is None or number != self._chapter:
            self._chapter, self._source = number, self._prepare(self.dataset.chapter(number))
        return self._source

    def _prepare(self, dataset: Sequence[Mapping[str, Any]]) -> Any:
        """Make of volumes what episodes are drawn from."""
        raise NotImplementedError

    def _draw(
        self, episodes: Sequence[int], count: int, size: tuple[int, ...]
    ) -> tuple[NDArray[np.float64], AugmentationParameters]:
        """Draw `count` uniform numbers `(B, count)` and the augmentation of each episode."""
        generator, noise_generator = torch.Generator(), torch.Generator(self.device)
        intensities, geometries = _COUNTS[self.intensity_target], _COUNTS[self.geometry_target]
        numbers, parameters = [], []
        for episode in episodes:
            generator.manual_seed(episode_seed(self.seed, episode, stream=0))
            noise_generator.manual_seed(episode_seed(self.seed, episode, stream=1))
            numbers.append(torch.rand(count, generator=generator, dtype=torch.float64))
            parameters.append(self.augmentation.sample(generator, noise_generator, size, intensities, geometries))
        return torch.stack(numbers).numpy(), AugmentationParameters.cat(parameters)

    def _make_batch(
        self,
        image: Tensor,
        supervoxels: Tensor,
        wanted: NDArray[np.integer],
        parameters: AugmentationParameters,
        sides: NDArray[np.float64],
        **window: Any,
    ) -> dict[str, Tensor]:
        """Mask and augment all queries and, behind them, all supports.

        Args:
            image: `(2 B, 1, *S)`.
            supervoxels: `(2 B, 1, *S)`.
            wanted: number of the supervoxel in each `(2 B,)`.
            parameters: of the augmentation.
            sides: uniform `(B, 2)`, whose intensity and whose geometry changes.
            window: further arguments of the augmentation's `apply`.
        """
        number = send(torch.from_numpy(wanted.astype(np.int16)), self.device)
        mask = (supervoxels == number.view(-1, *[1] * (supervoxels.dim() - 1))).to(image.dtype)
        image, mask = self.augmentation.apply(
            image,
            mask,
            AugmentationParameters(*(send(tensor, self.device) for tensor in parameters)),
            send(_rows(self.intensity_target, sides[:, 0]), self.device),
            send(_rows(self.geometry_target, sides[:, 1]), self.device),
            **window,
        )
        batch = len(sides)
        return {
            "image": image[:batch],
            "label": mask[:batch],
            "support_image": image[batch:, None],
            "support_mask": mask[batch:, None],
        }

    def _processes(self) -> tuple[int, int]:
        if self.rank is not None and self.world_size is not None:
            return self.rank, self.world_size
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1


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


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse an unknown choice.

    Raises:
        InputError: `value` is none of `choices`.
    """
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


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
