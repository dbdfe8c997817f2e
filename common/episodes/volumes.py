"""Batches of training episodes of volumes: whole ones, or patches through a supervoxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .labelled import labels_of_two_scans
from .pack import Pack
from .sampling import warn_unused
from .store import SliceStore, send
from .stream import Chapters, EpisodeStream, Target, check_choice
from .structures import Structure, Window, find_structures
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
        patch_size: `(X, Y, Z)` in voxels, no larger in-plane than the volumes; None: whole volumes, all of one size. A
            patch lies in-plane so that it holds the supervoxel, as far as it fits, and changes as part of its volume;
            slices past the end of a volume are 0, the mean.
        pairing: see above.
        max_shift: of `near` windows (released ADNet code: 50).
        min_voxels: smallest part of a supervoxel in a window, in voxels (released ADNet code: 200).
        intensity_target, geometry_target, swap_probability: see `EpisodeStream`.
        excluded_labels: no window holds a voxel of these label values, and slices around it that do are 0 (setting 2).
        pack_dir, cache_bytes: volumes that take more than `cache_bytes` are packed in this folder and read from there,
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
        augmentation: VolumeAugmentation | None = None,
        patch_size: Sequence[int] | None = None,
        pairing: VolumePairing = "same",
        max_shift: int = 50,
        min_voxels: int = 1,
        intensity_target: Target = "one",
        geometry_target: Target = "one",
        swap_probability: float = 0.5,
        excluded_labels: Sequence[int] = (),
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
            VolumeAugmentation() if augmentation is None else augmentation,
            intensity_target,
            geometry_target,
            swap_probability,
            rank,
            world_size,
        )
        check_choice("pairing", pairing, get_args(VolumePairing))
        if min_voxels < 1 or max_shift < 0:
            raise InputError(f"min_voxels is 1 or more and max_shift 0 or more, got {min_voxels} and {max_shift}")
        self.augmentation: VolumeAugmentation
        self.dataset = dataset
        self.patch_size = patch_size
        self.pairing: VolumePairing = pairing
        self.max_shift = max_shift
        self.min_voxels = min_voxels
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
        store, usable, size, groups = self._source_of(numbers[0])
        uniform, parameters = self._draw(numbers, 11, size)
        pairs = [self._pair(groups, size, store.size, row) for row in uniform]
        # All queries first, then all supports.
        windows = [pair[side] for side in (0, 1) for pair in pairs]
        image, supervoxels = _gather(store, usable, windows, max(*store.pack.depths, size[2]))
        wanted = np.array([window.supervoxel for window in windows])
        corner = send(torch.tensor([window.corner for window in windows]), self.device)
        place = {"corner": corner, "size": size, "spacing": self._spacing(store.pack, windows)}
        return self._make_batch(image, supervoxels, wanted, parameters, uniform[:, 5:7], **place)

    def _spacing(self, pack: Pack, windows: list[Window]) -> Tensor | None:
        """Size of the voxels of each window `(n, 3)` in mm; None where nothing is counted in mm."""
        if not self.augmentation.millimetres:
            return None
        volumes = np.searchsorted(np.cumsum(pack.depths), [window.first for window in windows], side="right")
        return send(torch.tensor([pack.spacings[volume] for volume in volumes]), self.device)

    def _prepare(
        self, dataset: Sequence[Mapping[str, Any]]
    ) -> tuple[SliceStore, NDArray[np.bool_], tuple[int, int, int], list[list[Structure]]]:
        store = SliceStore.build(dataset, self.pack_dir, self.device, self.cache_bytes)
        pack, minimum = store.pack, f"{self.min_voxels} voxels"
        size = _window_size(pack, store.size, self.patch_size)
        for subject, spacing in zip(pack.subjects, pack.spacings, strict=True):
            if spacing is None and self.augmentation.millimetres:
                raise InputError(f"{subject}: has no affine, its augmentation is in mm; give the item its 'affine'")
        usable = pack.usable(self.excluded_labels)
        structures = find_structures(pack, usable, size[2], self.min_voxels)
        if not structures:
            raise InputError(
                f"no supervoxel makes an episode: min_voxels is {self.min_voxels}, excluded_labels are "
                f"{list(self.excluded_labels)}; lower min_voxels, exclude fewer labels or check the pseudo-labels"
            )
        # What is drawn uniformly first: a volume, or an organ.
        if self.pairing == "scans":
            labels = [structure.supervoxel for structure in structures]
            kept = labels_of_two_scans(pack, labels, [structure.volume for structure in structures], minimum)
            groups = [[structure for structure in structures if structure.supervoxel == label] for label in kept]
        else:
            kept = np.unique([structure.volume for structure in structures])
            groups = [[structure for structure in structures if structure.volume == volume] for volume in kept]
        warn_unused(pack, [structure.volume for group in groups for structure in group], f"min_voxels {minimum}")
        return store, usable, size, groups

    def _pair(
        self,
        groups: list[list[Structure]],
        size: tuple[int, int, int],
        grid: tuple[int, int],
        uniform: NDArray[np.float64],
    ) -> tuple[Window, Window]:
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
        window = first.window(place, size, grid, uniform[7:9])
        if self.pairing == "same":
            return window, window
        partner = second.window(other, size, grid, uniform[9:11])
        # Labelled pairs are drawn in both orders alike.
        swap = self.pairing == "near" and uniform[4] < self.swap_probability
        return (window, partner) if swap else (partner, window)


def _window_size(pack: Pack, grid: tuple[int, int], patch_size: Sequence[int] | None) -> tuple[int, int, int]:
    if patch_size is not None:
        if len(patch_size) != 3 or min(patch_size) < 1 or patch_size[0] > grid[0] or patch_size[1] > grid[1]:
            raise InputError(
                f"patch_size {list(patch_size)} does not fit into slices of {grid}; give (X, Y, Z), no larger in-plane"
            )
        return patch_size[0], patch_size[1], patch_size[2]
    for subject, depth in zip(pack.subjects, pack.depths, strict=True):
        if depth != pack.depths[0]:
            raise InputError(
                f"{subject}: {depth} slices, {pack.subjects[0]} has {pack.depths[0]}; "
                "resize all volumes to one size in the preprocessing, or set patch_size"
            )
    return (*grid, pack.depths[0])


def _gather(store: SliceStore, usable: NDArray[np.bool_], windows: list[Window], depth: int) -> tuple[Tensor, Tensor]:
    """Collect the volumes around windows `(n, 1, X, Y, depth)`, images and supervoxels, on the device.

    Slices past the end of a volume and those that are not usable are 0, the mean, as what the augmentation brings in
    from outside.
    """
    slices = np.array([window.first for window in windows])[:, None] + np.arange(depth)
    last = np.array([window.last for window in windows])[:, None]
    inside = slices <= last
    slices = np.minimum(slices, last)
    kept = send(torch.from_numpy(inside & usable[slices]), store.device)[:, :, None, None, None]
    image, supervoxels = (
        (stack.unflatten(0, slices.shape) * kept).permute(0, 2, 3, 4, 1).contiguous()
        for stack in store.gather(slices.ravel())
    )
    return image, supervoxels
