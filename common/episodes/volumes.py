"""Batches of training episodes of volumes: whole ones, or patches through a supervoxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from torch import Tensor

from ..errors import InputError
from .augmentation import AugmentationParameters
from .pack import Pack
from .store import SliceStore, send
from .stream import COUNTS, EpisodeStream, Target, check_choice, episode_seed, target_rows
from .volume_augmentation import VolumeAugmentation

VolumePairing = Literal["same", "near", "scans"]


class VolumeEpisodeLoader(EpisodeStream):
    """Stream of one-shot episodes of volumes, see `EpisodeStream`.

    `same` (3D ALPNet): a uniform volume and a uniform supervoxel of it; support and query are one window of it.
    `near` (ADNet in 3D): support and query are windows that both hold enough of the supervoxel, `max_shift` places of
    the list of such windows apart at most. `scans`: a uniform label value and two volumes that hold it.

    Args:
        dataset: prepared volumes, see `pack_volumes`; its `fill()`, if it has one, is called first.
        batch_size, episodes_per_epoch, seed, device, rank, world_size: see `EpisodeStream`.
        augmentation: ranges of the random changes; None: the defaults.
        patch_size: `(X, Y, Z)` in voxels; None: whole volumes, all of one size. A patch lies in-plane so that it holds
            the supervoxel, as far as it fits; volumes with fewer slices repeat their last one.
        pairing: see above.
        max_shift: of `near` windows (released ADNet code: 50).
        min_voxels: smallest part of a supervoxel in a window, in voxels (released ADNet code: 200).
        gamma_target, geometry_target, swap_probability: see `EpisodeStream`.
        excluded_labels: no window holds a voxel of these label values (setting 2).
        cache_bytes: the volumes move to the device if they take no more than this.

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
        augmentation: VolumeAugmentation | None = None,
        patch_size: Sequence[int] | None = None,
        pairing: VolumePairing = "same",
        max_shift: int = 50,
        min_voxels: int = 1,
        gamma_target: Target = "one",
        geometry_target: Target = "one",
        swap_probability: float = 0.5,
        excluded_labels: Sequence[int] = (),
        rank: int | None = None,
        world_size: int | None = None,
        cache_bytes: int = 2**31,
    ) -> None:
        super().__init__(
            batch_size,
            episodes_per_epoch,
            seed,
            device,
            gamma_target,
            geometry_target,
            swap_probability,
            rank,
            world_size,
        )
        check_choice("pairing", pairing, get_args(VolumePairing))
        if min_voxels < 1 or max_shift < 0:
            raise InputError(f"min_voxels is 1 or more and max_shift 0 or more, got {min_voxels} and {max_shift}")
        self.dataset = dataset
        self.augmentation = VolumeAugmentation() if augmentation is None else augmentation
        self.patch_size = patch_size
        self.pairing: VolumePairing = pairing
        self.max_shift = max_shift
        self.min_voxels = min_voxels
        self.excluded_labels = tuple(excluded_labels)
        self.cache_bytes = cache_bytes
        self._source: tuple[SliceStore, tuple[int, ...], list[list[_Structure]]] | None = None

    def episodes(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """Make a batch of the episodes with these numbers; the position stays.

        Args:
            numbers: `B` episode numbers from 0 up.

        Returns:
            A batch, see `EpisodeStream.__iter__`.
        """
        store, size, groups = self._source = self._source or self._prepare()
        generator, noise_generator = torch.Generator(), torch.Generator(self.device)
        gammas, geometries = COUNTS[self.gamma_target], COUNTS[self.geometry_target]
        uniform, pairs, parameters = [], [], []
        for episode in numbers:
            generator.manual_seed(episode_seed(self.seed, episode, stream=0))
            noise_generator.manual_seed(episode_seed(self.seed, episode, stream=1))
            uniform.append(torch.rand(11, generator=generator, dtype=torch.float64).numpy())
            pairs.append(self._pair(groups, size, uniform[-1]))
            parameters.append(self.augmentation.sample(generator, noise_generator, size, gammas, geometries))
        # All queries first, then all supports.
        image, supervoxels = _gather(store, [pair[side] for side in (0, 1) for pair in pairs], size)
        wanted = np.array([pair[side].supervoxel for side in (0, 1) for pair in pairs], np.int16)
        mask = (supervoxels == send(torch.from_numpy(wanted), self.device).view(-1, 1, 1, 1, 1)).to(image.dtype)
        coins = np.stack(uniform)
        image, mask = self.augmentation.apply(
            image,
            mask,
            AugmentationParameters(*(send(part, self.device) for part in AugmentationParameters.cat(parameters))),
            send(target_rows(self.gamma_target, coins[:, 5]), self.device),
            send(target_rows(self.geometry_target, coins[:, 6]), self.device),
        )
        B = len(numbers)
        return {
            "image": image[:B],
            "label": mask[:B],
            "support_image": image[B:, None],
            "support_mask": mask[B:, None],
        }

    def _prepare(self) -> tuple[SliceStore, tuple[int, ...], list[list[_Structure]]]:
        store = SliceStore.build(self.dataset, device=self.device, cache_bytes=self.cache_bytes)
        size = _window_size(store.pack, store.size, self.patch_size)
        structures = _structures(store.pack, size[2], self.min_voxels, self.excluded_labels)
        # What is drawn uniformly first: a volume, or an organ.
        groups: dict[int, list[_Structure]] = {}
        for structure in structures:
            key = structure.supervoxel if self.pairing == "scans" else structure.volume
            groups.setdefault(key, []).append(structure)
        usable = [group for group in groups.values() if self.pairing != "scans" or len(group) > 1]
        if not usable:
            what = "no label value is in two volumes" if structures else "no supervoxel makes an episode"
            raise InputError(f"{what}: min_voxels is {self.min_voxels}; lower it, or check the pseudo-labels")
        return store, size, usable

    def _pair(
        self, groups: list[list[_Structure]], size: tuple[int, ...], uniform: NDArray[np.float64]
    ) -> tuple[_Window, _Window]:
        """Draw query and support windows from 11 uniform numbers."""
        group = groups[int(uniform[0] * len(groups))]
        index = int(uniform[1] * len(group))
        first = second = group[index]
        place = other = int(uniform[2] * len(first.starts))
        if self.pairing == "scans":
            # Any structure but the first; its volume is another one, since a volume holds a label value once.
            second = group[(index + 1 + int(uniform[3] * (len(group) - 1))) % len(group)]
            other = int(uniform[4] * len(second.starts))
        elif self.pairing == "near":
            low, high = max(0, place - self.max_shift), min(len(first.starts) - 1, place + self.max_shift)
            other = low + int(uniform[3] * (high - low + 1))
        windows = (first.window(place, size, uniform[7:9]), second.window(other, size, uniform[9:11]))
        if self.pairing == "same":
            windows = (windows[0], windows[0])
        swap = self.pairing == "near" and uniform[4] < self.swap_probability
        return (windows[0], windows[1]) if swap else (windows[1], windows[0])


class _Window(NamedTuple):
    """Corner of a window: first slice and last one that exists, in the pack; first row and column; supervoxel."""

    first: int
    last: int
    row: int
    column: int
    supervoxel: int


class _Structure(NamedTuple):
    """A supervoxel: volume and number, first slices of the windows that hold enough of it, and its place.

    `starts` counts in the pack and `last` is the volume's last slice there; `low` and `high` bound it in-plane.
    """

    volume: int
    supervoxel: int
    starts: NDArray[np.int64]
    last: int
    low: tuple[int, int]
    high: tuple[int, int]
    grid: tuple[int, int]

    def window(self, place: int, size: tuple[int, ...], uniform: NDArray[np.float64]) -> _Window:
        """Choose a window's place in-plane, with the structure inside of it as far as it fits."""
        corner = []
        for axis in (0, 1):
            ends = (self.high[axis] - size[axis], self.low[axis])
            room = self.grid[axis] - size[axis]
            low, high = (min(max(end, 0), room) for end in (min(ends), max(ends)))
            corner.append(low + int(uniform[axis] * (high - low + 1)))
        return _Window(int(self.starts[place]), self.last, corner[0], corner[1], self.supervoxel)


def _window_size(pack: Pack, grid: tuple[int, int], patch_size: Sequence[int] | None) -> tuple[int, ...]:
    if patch_size is not None:
        if len(patch_size) != 3 or patch_size[0] > grid[0] or patch_size[1] > grid[1]:
            raise InputError(f"patch_size {list(patch_size)} does not fit into slices of {grid}; make it smaller")
        return tuple(patch_size)
    for subject, depth in zip(pack.subjects, pack.depths, strict=True):
        if depth != pack.depths[0]:
            raise InputError(
                f"{subject}: {depth} slices, {pack.subjects[0]} has {pack.depths[0]}; "
                "resize all volumes to one size in the preprocessing, or set patch_size"
            )
    return (*grid, pack.depths[0])


def _structures(pack: Pack, depth: int, min_voxels: int, excluded_labels: tuple[int, ...]) -> list[_Structure]:
    """List the supervoxels of which some window of `depth` slices holds `min_voxels`."""
    usable = pack.usable(excluded_labels)
    ends = np.cumsum([0, *pack.depths])
    structures = []
    for volume, (start, end) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        within = slice(depth - 1, max(end - start, depth))
        allowed = np.convolve(~usable[start:end], np.ones(depth))[within] == 0
        rows = pack.occurrences[pack.occurrences[:, 0] == volume]
        places = find_objects(np.asarray(pack.supervoxels[start:end]))
        for supervoxel in np.unique(rows[:, 1]):
            own = rows[rows[:, 1] == supervoxel]
            areas = np.bincount(own[:, 2] - start, weights=own[:, 3], minlength=end - start)
            held = np.convolve(areas, np.ones(depth))[within]
            starts = start + np.flatnonzero((held >= min_voxels) & allowed)
            if len(starts):
                _, rows_range, columns_range = places[supervoxel - 1]
                low, high = (rows_range.start, columns_range.start), (rows_range.stop, columns_range.stop)
                grid = pack.images.shape[1], pack.images.shape[2]
                structures.append(_Structure(volume, int(supervoxel), starts, int(end) - 1, low, high, grid))
    return structures


def _gather(store: SliceStore, windows: list[_Window], size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Cut windows `(n, 1, X, Y, Z)` out of images and supervoxels, on the device."""
    slices = np.stack([np.minimum(window.first + np.arange(size[2]), window.last) for window in windows])
    volumes = []
    for stack in store.gather(slices.ravel()):
        planes = stack.unflatten(0, (len(windows), size[2]))
        cut = [
            planes[index, :, 0, window.row : window.row + size[0], window.column : window.column + size[1]]
            for index, window in enumerate(windows)
        ]
        volumes.append(torch.stack(cut).permute(0, 2, 3, 1).unsqueeze(1).contiguous())
    return volumes[0], volumes[1]
