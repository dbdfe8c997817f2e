"""Batches of pseudo-labelled training episodes; every episode depends on the seed and its number alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .augmentation import AugmentationParameters, EpisodeAugmentation
from .sampling import AreaRule, Candidates, Pairing, find_candidates
from .store import SliceStore, send

Target = Literal["one", "query", "both", "none"]

_COUNTS: dict[Target, int] = {"one": 1, "query": 1, "both": 2, "none": 0}
_MASK = (1 << 64) - 1


class EpisodeLoader:
    """Endless stream of one-shot episodes, cut into epochs: two slices and one supervoxel as mask (ADNet, SSL-ALPNet).

    Episode `i` is a pure function of `seed` and `i`; on one kind of device it has the same bits for every batch size
    and number of processes, and after a resume. Rank `r` of `w` takes the episodes with `i mod w = r`. Each epoch goes
    on where the last one stopped; `state_dict()` holds the position, which counts the episodes handed out.
    Construction reads nothing: the slices are packed when iteration begins.

    Args:
        dataset: prepared volumes, see `pack_volumes`; its `fill()`, if it has one, is called first.
        batch_size: episodes per batch of one process.
        episodes_per_epoch: over all processes; an epoch is rounded up to whole batches.
        seed: names the stream.
        device: where batches are made and augmented.
        augmentation: ranges of the random changes; None: those of the released code.
        pairing, min_area, min_area_rule, excluded_labels: which slice pairs are drawn, see `find_candidates`.
        swap_probability: probability that the first slice of the pair is the query instead of the support.
        gamma_target: whose intensity changes: `one` (query or support with probability 0.5 each), `query`, `both`
            (independently) or `none`.
        geometry_target: whose geometry changes, drawn independently of `gamma_target`.
        rank: number of this process; None: from `torch.distributed`, 0 without it.
        world_size: number of processes; None: from `torch.distributed`, 1 without it.
        pack_dir: folder of packed slices; None: in memory.
        pack_key: name of the dataset's content in `pack_dir`; None: the content itself.
        cache_bytes: the slices move to the device if they take no more than this.

    Raises:
        InputError: an option is out of its range.
    """

    def __init__(
        self,
        dataset: Sequence[Mapping[str, Any]],
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
        gamma_target: Target = "one",
        geometry_target: Target = "one",
        rank: int | None = None,
        world_size: int | None = None,
        pack_dir: str | Path | None = None,
        pack_key: str | None = None,
        cache_bytes: int = 2**31,
    ) -> None:
        _check_choice("pairing", pairing, get_args(Pairing))
        _check_choice("min_area_rule", min_area_rule, get_args(AreaRule))
        _check_choice("gamma_target", gamma_target, get_args(Target))
        _check_choice("geometry_target", geometry_target, get_args(Target))
        if min(batch_size, episodes_per_epoch, min_area) < 1:
            raise InputError(
                "batch_size, episodes_per_epoch and min_area must be 1 or more, "
                f"got {batch_size}, {episodes_per_epoch} and {min_area}"
            )
        if not 0 <= swap_probability <= 1:
            raise InputError(f"swap_probability must lie in [0, 1], got {swap_probability}")
        if (rank is None) != (world_size is None):
            raise InputError(f"give both rank and world_size or neither, got {rank} and {world_size}")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise InputError(f"rank must lie in [0, world_size), got {rank} of {world_size}")
        self.dataset = dataset
        self.batch_size = batch_size
        self.episodes_per_epoch = episodes_per_epoch
        self.seed = seed
        self.device = torch.device(device)
        self.augmentation = EpisodeAugmentation() if augmentation is None else augmentation
        self.pairing: Pairing = pairing
        self.min_area = min_area
        self.min_area_rule: AreaRule = min_area_rule
        self.excluded_labels = tuple(excluded_labels)
        self.swap_probability = swap_probability
        self.gamma_target: Target = gamma_target
        self.geometry_target: Target = geometry_target
        self.rank = rank
        self.world_size = world_size
        self.pack_dir = pack_dir
        self.pack_key = pack_key
        self.cache_bytes = cache_bytes
        self._episode = 0
        self._source: tuple[SliceStore, Candidates] | None = None

    def __len__(self) -> int:
        """Batches per epoch for this process."""
        return -(-self.episodes_per_epoch // (self.batch_size * self._processes()[1]))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of one epoch, from the present position.

        Yields:
            `image` `(B, 1, H, W)` and `label` `(B, 1, H, W)` of the query; `support_image` and `support_mask`
            `(B, 1, 1, H, W)`; all float32 on the device, masks of 0 and 1.
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
        store, candidates = self._source = self._source or self._prepare()
        numbers_drawn, parameters = self._draw(numbers, store.size)
        drawn = candidates.draw(numbers_drawn[:, :2])
        swap = numbers_drawn[:, 2] < self.swap_probability
        # All queries first, then all supports: both are then contiguous, and row b + B is the support of row b.
        query, support = np.where(swap, drawn.first, drawn.second), np.where(swap, drawn.second, drawn.first)
        image, supervoxels = store.gather(np.concatenate([query, support]))
        wanted = send(torch.from_numpy(np.tile(drawn.supervoxel, 2).astype(np.int16)), self.device)
        mask = (supervoxels == wanted[:, None, None, None]).to(image.dtype)
        image, mask = self.augmentation.apply(
            image,
            mask,
            AugmentationParameters(*(send(tensor, self.device) for tensor in parameters)),
            send(_rows(self.gamma_target, numbers_drawn[:, 3]), self.device),
            send(_rows(self.geometry_target, numbers_drawn[:, 4]), self.device),
        )
        B = len(numbers)
        return {
            "image": image[:B],
            "label": mask[:B],
            "support_image": image[B:, None],
            "support_mask": mask[B:, None],
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Give the position: the number of episodes handed out, over all processes."""
        return {"episode": torch.tensor(self._episode)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a position."""
        self._episode = int(state["episode"])

    def _prepare(self) -> tuple[SliceStore, Candidates]:
        store = SliceStore.build(self.dataset, self.pack_dir, self.pack_key, self.device, self.cache_bytes)
        return store, find_candidates(store.pack, self.pairing, self.min_area, self.min_area_rule, self.excluded_labels)

    def _processes(self) -> tuple[int, int]:
        if self.rank is not None and self.world_size is not None:
            return self.rank, self.world_size
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    def _draw(
        self, episodes: Sequence[int], size: tuple[int, int]
    ) -> tuple[NDArray[np.float64], AugmentationParameters]:
        """Draw five uniform numbers `(B, 5)` and the augmentation of each episode."""
        generator, noise_generator = torch.Generator(), torch.Generator(self.device)
        gammas, geometries = _COUNTS[self.gamma_target], _COUNTS[self.geometry_target]
        numbers, parameters = [], []
        for episode in episodes:
            generator.manual_seed(episode_seed(self.seed, episode, stream=0))
            noise_generator.manual_seed(episode_seed(self.seed, episode, stream=1))
            numbers.append(torch.rand(5, generator=generator, dtype=torch.float64))
            parameters.append(self.augmentation.sample(generator, noise_generator, size, gammas, geometries))
        return torch.stack(numbers).numpy(), AugmentationParameters.cat(parameters)


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
    B = len(numbers)
    episode = np.arange(B)
    if target == "one":
        return torch.from_numpy(np.where(numbers < 0.5, episode, episode + B))
    if target == "query":
        return torch.from_numpy(episode)
    if target == "both":
        return torch.from_numpy(np.stack([episode, episode + B], 1).ravel())
    return torch.empty(0, dtype=torch.int64)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
