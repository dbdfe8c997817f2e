"""Pairs of windows in volumes: whole ones, or patches through a supervoxel or annotated organ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .labelled import labels_of_two_scans
from .pack import Pack
from .pairs import DrawPairs, Pairs, check_choice, check_probability
from .sampling import warn_unused
from .store import SliceStore, send
from .structures import Structure, Window, find_structures

WindowPairing = Literal["same", "near", "scans"]
Size = tuple[int, int, int]


class WindowPairs:
    """Source of pairs of windows in volumes.

    ``same`` (3D ALPNet): a uniform volume and a uniform supervoxel of it; support and query are one window of it.
    ``near`` (ADNet in 3D): support and query are windows that both hold enough of the supervoxel, ``max_shift`` places
    of the list of such windows apart at most. ``scans``: a uniform label value and two volumes that hold it.

    Args:
        patch_size: ``(X, Y, Z)`` in voxels, no larger in-plane than the volumes; None: whole volumes, all of one size.
            A patch lies in-plane so that it holds the supervoxel, as far as it fits, and changes as part of its volume;
            slices past the end of a volume are 0, the mean.
        pairing: see above.
        max_shift: of ``near`` windows (released ADNet code: 50).
        min_voxels: smallest part of a supervoxel in a window, in voxels (released ADNet code: 200).
        excluded_labels: no window holds a voxel of these label values, and slices around it that do are 0 (setting 2).
        swap_probability: probability that of ``near`` windows the first is the query instead of the support.

    Raises:
        InputError: an option is out of its range.
    """

    numbers, sides = 11, slice(5, 7)

    def __init__(
        self,
        patch_size: Sequence[int] | None = None,
        pairing: WindowPairing = "same",
        max_shift: int = 50,
        min_voxels: int = 1,
        excluded_labels: Sequence[int] = (),
        swap_probability: float = 0.5,
    ) -> None:
        check_choice("pairing", pairing, WindowPairing)
        check_probability("swap_probability", swap_probability)
        if min_voxels < 1 or max_shift < 0:
            raise InputError(f"min_voxels is 1 or more and max_shift 0 or more, got {min_voxels} and {max_shift}")
        self.patch_size = patch_size
        self.pairing: WindowPairing = pairing
        self.max_shift = max_shift
        self.min_voxels = min_voxels
        self.excluded_labels = tuple(excluded_labels)
        self.swap_probability = swap_probability

    def find(self, store: SliceStore) -> DrawPairs:
        """Find all pairs, see ``PairSource``."""
        pack, minimum = store.pack, f"{self.min_voxels} voxels"
        size = _window_size(pack, store.size, self.patch_size)
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

        def draw(uniform: NDArray[np.float64]) -> Pairs:
            pairs = [self._pair(groups, size, store.size, row) for row in uniform]
            windows = [pair[side] for side in (0, 1) for pair in pairs]
            image, supervoxels = _gather(store, usable, windows, max(*pack.depths, size[2]))
            corner = send(torch.tensor([window.corner for window in windows]), store.device)
            place = {"corner": corner, "size": size, "spacing": _spacing(store, windows)}
            return Pairs(image, supervoxels, np.array([window.supervoxel for window in windows]), place)

        return draw

    def _pair(
        self, groups: list[list[Structure]], size: Size, grid: tuple[int, int], uniform: NDArray[np.float64]
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


def _window_size(pack: Pack, grid: tuple[int, int], patch_size: Sequence[int] | None) -> Size:
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


def _spacing(store: SliceStore, windows: list[Window]) -> Tensor | None:
    """Size of the voxels of each window ``(n, 3)`` in mm; None where a volume does not say."""
    spacings = store.pack.spacings
    if None in spacings:
        return None
    volumes = np.searchsorted(np.cumsum(store.pack.depths), [window.first for window in windows], side="right")
    return send(torch.tensor([spacings[volume] for volume in volumes]), store.device)


def _gather(store: SliceStore, usable: NDArray[np.bool_], windows: list[Window], depth: int) -> tuple[Tensor, Tensor]:
    """Collect the volumes around windows ``(n, 1, X, Y, depth)``, images and supervoxels, on the device.

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
