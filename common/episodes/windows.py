"""Which parts of volumes make an episode: windows of consecutive slices, drawn in pairs."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .pack import Pack
from .partners import Partners, across_volumes, in_two_volumes, runs, warn_unused, within_run

VolumePairing = Literal["same", "near", "scans"]


class WindowDraw(NamedTuple):
    """Drawn episodes, arrays `(n,)`: first slice of the first and of the second window, and their supervoxel."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    supervoxel: NDArray[np.int64]


class Windows(NamedTuple):
    """Windows to draw from.

    Attributes:
        start: `(P,)` first slice of the window.
        supervoxel: `(P,)` number of a supervoxel in it, within its volume.
        partners: which two make an episode.
    """

    start: NDArray[np.int64]
    supervoxel: NDArray[np.int64]
    partners: Partners

    def draw(self, numbers: ArrayLike) -> WindowDraw:
        """Turn uniform numbers `(n, 2)` in [0, 1) into episodes."""
        first, second = self.partners.draw(numbers)
        return WindowDraw(self.start[first], self.start[second], self.supervoxel[first])


def find_windows(
    pack: Pack,
    depth: int,
    pairing: VolumePairing = "same",
    min_voxels: int = 1,
    max_shift: int = 50,
    excluded_labels: tuple[int, ...] = (),
) -> Windows:
    """List the windows and the probabilities of their pairs.

    A draw takes a uniform volume, a uniform supervoxel of it, a uniform window of it, and a second window: the `same`;
    one at most `max_shift` places away in the list of the supervoxel's windows, `near` (released ADNet code, 3D); or,
    with labels as supervoxels, any window of the same label in another volume, `scans`.

    Args:
        pack: the packed dataset.
        depth: slices of a window; a volume with fewer is one window.
        pairing: `same`, `near` or `scans`.
        min_voxels: smallest part of the supervoxel in a window, in voxels.
        max_shift: greatest distance of a `near` window.
        excluded_labels: no window holds a pixel of these labels (setting 2).

    Raises:
        InputError: there is no window, no label in two volumes, or `excluded_labels` without label maps.
    """
    smallest = f"min_voxels {min_voxels}"
    volume, supervoxel, start = _list_windows(pack, depth, min_voxels, pack.usable(excluded_labels))
    if len(start) == 0:
        largest = int(np.bincount(runs(*pack.occurrences[:, :2].T)[0], pack.occurrences[:, 3]).max(initial=0))
        raise InputError(
            f"no supervoxel makes an episode: min_voxels is {min_voxels}, the largest supervoxel has {largest} voxels "
            f"(excluded_labels {list(excluded_labels)}); lower min_voxels or make the supervoxels larger"
        )
    if pairing == "scans":
        order = np.lexsort((start, volume, supervoxel))
        order = order[in_two_volumes(pack, supervoxel[order], volume[order], smallest)]
        volume, supervoxel, start = volume[order], supervoxel[order], start[order]
        begin, count = runs(supervoxel, volume)
    else:
        begin, count = runs(volume, supervoxel)
    warn_unused(pack, volume, smallest)
    weight = 1 / count
    total = np.bincount(volume, weight)
    probability = weight / total[volume] / np.count_nonzero(total)
    if pairing == "scans":
        return Windows(start, supervoxel, across_volumes(probability, supervoxel, volume))
    place = np.arange(len(start))
    if pairing == "same":
        return Windows(start, supervoxel, within_run(probability, place, np.ones_like(place)))
    nearest = np.maximum(begin, place - max_shift)
    farthest = np.minimum(begin + count - 1, place + max_shift)
    return Windows(start, supervoxel, within_run(probability, nearest, farthest - nearest + 1))


def _list_windows(pack: Pack, depth: int, min_voxels: int, usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Volume, supervoxel and first slice `(3, P)` of all windows, in ascending order."""
    windows = [np.empty((3, 0), np.int64)]
    first = 0
    for number, length in enumerate(pack.depths):
        low, high = np.searchsorted(pack.occurrences[:, 0], [number, number + 1])
        _, supervoxels, slices, areas = pack.occurrences[low:high].T
        names, member = np.unique(supervoxels, return_inverse=True)
        # A last row for the slices that are not usable.
        table = np.zeros((len(names) + 1, length + 1), np.int64)
        table[member, slices - first + 1] = areas
        table[-1, 1:] = ~usable[first : first + length]
        total = table.cumsum(axis=1)
        size = min(depth, length)
        inside = total[:, size:] - total[:, :-size]
        name, start = np.nonzero((inside[:-1] >= min_voxels) & (inside[-1] == 0))
        windows.append(np.stack([np.full_like(name, number), names[name], first + start]))
        first += length
    return np.concatenate(windows, axis=1)
