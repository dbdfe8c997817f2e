"""Supervoxels or annotated organs of volumes, and the windows that hold enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from .pack import Pack


class Window(NamedTuple):
    """Part of a volume that shows a supervoxel.

    Attributes:
        first: the volume's first slice, counted in the pack.
        last: the volume's last slice, counted in the pack.
        corner: first voxel of the window, counted in the volume.
        supervoxel: number of the supervoxel.
    """

    first: int
    last: int
    corner: tuple[int, int, int]
    supervoxel: int


class Structure(NamedTuple):
    """A supervoxel of a volume.

    Attributes:
        volume: number of the volume.
        supervoxel: number of the supervoxel, within the volume.
        first: the volume's first slice, counted in the pack.
        last: the volume's last slice, counted in the pack.
        starts: first slices of the windows that hold enough of the supervoxel, counted in the volume.
        low: first row and column of the supervoxel.
        high: row and column after its last ones.
    """

    volume: int
    supervoxel: int
    first: int
    last: int
    starts: NDArray[np.int64]
    low: tuple[int, int]
    high: tuple[int, int]

    def window(self, place: int, size: Sequence[int], grid: Sequence[int], numbers: NDArray[np.float64]) -> Window:
        """Choose where a window lies in-plane, with the supervoxel inside of it as far as it fits.

        Args:
            place: index into ``starts``.
            size: of the window in voxels.
            grid: rows and columns of the volume.
            numbers: two uniform numbers in [0, 1).
        """
        corner = []
        for axis in (0, 1):
            ends = (self.high[axis] - size[axis], self.low[axis])
            low, high = (min(max(end, 0), grid[axis] - size[axis]) for end in (min(ends), max(ends)))
            corner.append(low + int(numbers[axis] * (high - low + 1)))
        return Window(self.first, self.last, (corner[0], corner[1], int(self.starts[place])), self.supervoxel)


def find_structures(pack: Pack, usable: NDArray[np.bool_], depth: int, min_voxels: int = 1) -> list[Structure]:
    """List the supervoxels of which some window of consecutive slices holds enough (released ADNet code, 3D).

    Args:
        pack: the packed dataset.
        usable: ``(N,)`` which slices of the pack a window may hold, see ``Pack.usable``.
        depth: slices of a window; a volume with fewer has one window.
        min_voxels: smallest part of the supervoxel in a window, in voxels.
    """
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
            starts = np.flatnonzero((held >= min_voxels) & allowed)
            if len(starts):
                _, plane_rows, plane_columns = places[supervoxel - 1]
                low, high = (plane_rows.start, plane_columns.start), (plane_rows.stop, plane_columns.stop)
                structures.append(Structure(volume, int(supervoxel), int(start), int(end) - 1, starts, low, high))
    return structures
