"""3D Felzenszwalb supervoxels: the exact partition of the published algorithm, in a fraction of its time and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from skimage.util import img_as_float64

from . import edges, forest
from .forest import Floats, Numbers, Pairs

_SAMPLE = 1 << 16
_END = 1 << 32


def felzenszwalb_3d(
    image: ArrayLike,
    scale: float = 1.0,
    sigma: float = 0.0,
    min_size: int = 5000,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
) -> NDArray[np.int32]:
    """Partition a volume with the 3D graph segmentation of ADNet (Hansen et al. 2022, section 3.1 and released code).

    26-neighbour graph, costs ``edge_multipliers(spacing) * |difference|`` in float64. Edges are taken by ascending
    cost, ties in the released code's edge order. The first pass joins two components when the cost is below both
    thresholds ``last cost inside + scale / 255 / size``; the second joins any component of fewer than ``min_size``
    voxels. With ADNet's ``scale=1`` on intensities 0..255 the first pass joins equal values only, so that ``min_size``
    alone shapes the supervoxels.

    Args:
        image: ``(Z, Y, X)``, or ``(Y, X)`` taken as ``(Y, X, 1)``. Floats are used as they are, integers go through
            ``skimage.util.img_as_float64`` (uint8 to [0, 1]).
        scale: larger gives larger supervoxels in the first pass; divided by 255 like in scikit-image.
        sigma: width of a Gaussian applied first, in the unit of ``spacing``; 0 for none.
        min_size: smallest supervoxel in voxels, unless the whole image is smaller.
        spacing: voxel size along the three axes in mm; costs depend on ``spacing[0] / spacing[1]`` only.

    Returns:
        Labels in the shape of ``image``, numbered from 0 in raster order of first appearance.

    Raises:
        ValueError: an image that is not 2D or 3D, is empty, has NaN, infinity or 2**32 / 13 voxels or more; a negative
            or infinite ``scale`` or ``sigma``, ``min_size`` below 1, a ``spacing`` that is not three positive numbers.
    """
    array = np.asarray(image)
    _check(array, scale, sigma, min_size)
    multipliers = edge_multipliers(spacing)
    values = img_as_float64(array.reshape(array.shape + (1,) * (3 - array.ndim)))
    if sigma > 0:
        values = gaussian_filter(values, [sigma / size for size in spacing], mode="reflect")
    graph = _Graph(np.ascontiguousarray(values), multipliers)
    graph.join_similar(scale / 255)
    graph.join_small(min_size)
    return graph.labels().reshape(array.shape)


def edge_multipliers(spacing: Sequence[float]) -> Floats:
    """Give the factor of the absolute difference in each of the 13 directions of the graph (released ADNet code).

    With the ratio ``s = spacing[0] / spacing[1]``: 1 inside a slice, diagonals included, ``s`` across slices and
    ``sqrt((1 + s**2) / 2)`` or ``sqrt((2 + s**2) / 3)`` along diagonals across slices.

    Args:
        spacing: voxel size along the three axes in mm.

    Returns:
        ``(13,)``, in the order of ``edges.OFFSETS``.

    Raises:
        ValueError: not three positive finite numbers.
    """
    if len(spacing) != 3 or not all(math.isfinite(size) and size > 0 for size in spacing):
        raise ValueError(f"spacing must be three positive numbers (z, y, x) in mm, got {tuple(spacing)}")
    ratio = float(spacing[0]) / float(spacing[1])
    across = edges.OFFSETS[:, 0] != 0
    steps = np.abs(edges.OFFSETS).sum(axis=1)
    return np.where(across, np.sqrt((steps - 1 + ratio**2) / steps), 1.0)


def _check(image: NDArray[Any], scale: float, sigma: float, min_size: int) -> None:
    if image.ndim not in (2, 3):
        raise ValueError(f"image must be 3D (Z, Y, X) or 2D (Y, X), got shape {image.shape}")
    if image.size == 0 or 13 * image.size >= 1 << 32:
        raise ValueError(f"image must have 1 to {(1 << 32) // 13} voxels, got shape {image.shape}; crop or resample it")
    if not np.isfinite(image).all():
        raise ValueError(f"image has NaN or infinity in {np.count_nonzero(~np.isfinite(image))} voxels; replace them")
    if not (math.isfinite(scale) and scale >= 0 and math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"scale and sigma must be 0 or positive, got scale {scale} and sigma {sigma}")
    if min_size < 1:
        raise ValueError(f"min_size must be 1 voxel or more, got {min_size}")


class _Graph:
    """The edges of an image as batches in ascending order, and the forest of components that they are joined into.

    A filter-Kruskal scheme: the cheapest edges, about half as many as voxels, are sorted and used; the next batch
    leaves out all edges that can have no effect by then. Costs are made from the image each time, so that memory stays
    at a few arrays of the image's size.
    """

    def __init__(self, image: Floats, multipliers: Floats) -> None:
        self.image = image
        self.multipliers = multipliers
        self.members = np.arange(image.size, dtype=np.uint32)
        self.forest = np.full(image.size, -1, np.int32)

    def join_similar(self, scale: float) -> None:
        """First pass: joins by threshold; ``scale`` is already divided by 255."""
        if scale == 0:
            return
        # Thresholds telescope along the smaller sides: but for rounding to float32, joins cost less than 2 * scale.
        bound = 2 * scale * (1 + 1e-5) + 1e-40 if scale < 1e37 else math.inf
        # A cost of zero is below every threshold, so order does not matter, unless one could be rounded to zero.
        if np.float32(scale / self.image.size) > 0 and not edges.join_equal(
            self.image, self.multipliers, self.forest, bound
        ):
            return
        inner = np.zeros(self.image.size)

        def renumber(level: float) -> int:
            return forest.renumber_by_threshold(self.members, self.forest, inner, scale, level)

        for costs, pairs in self._batches(renumber, any_closed=True, bound=bound):
            forest.join_by_threshold(pairs, costs, self.forest, inner, scale)

    def join_small(self, min_size: int) -> None:
        """Second pass: joins components below ``min_size`` to a neighbour."""

        def renumber(_: float) -> int:
            return forest.renumber_by_size(self.members, self.forest, min_size)

        for _, pairs in self._batches(renumber, any_closed=False, bound=math.inf):
            if forest.join_by_size(pairs, self.forest, min_size) == 0:
                return

    def labels(self) -> NDArray[np.int32]:
        """Number the components from 0 in raster order."""
        labels = self.members.view(np.int32)
        forest.number_components(self.members, self.forest, labels)
        return labels.reshape(self.image.shape)

    def _batches(
        self, renumber: Callable[[float], int], any_closed: bool, bound: float
    ) -> Iterator[tuple[Floats, Pairs]]:
        """Yield costs and component pairs of the open edges up to the cost ``bound``, ascending in and over batches.

        ``renumber(level)`` numbers components anew once all edges cheaper than ``level`` are used, and marks them.
        """
        open_edges = (self.image, self.multipliers, self.members, any_closed)
        batch, spare = _buffers(max(self.image.size // 2, _SAMPLE) + self.image.shape[2]), _buffers(0)
        last = (-1.0, 0)
        while last[1] != _END:
            self.forest = self.forest[: renumber(last[0])]
            used, last = last, self._cut(open_edges, last, bound, 0.9 * batch[0].size)
            while (count := edges.collect_open(*open_edges, *used, *last, *batch)) < 0:
                batch = _buffers(2 * batch[0].size)  # the sample was off
            if spare[0].size < count:
                spare = _buffers(batch[0].size)
            costs, spare_costs = batch[0][:count], spare[0][:count]
            pairs, spare_pairs = batch[1][:count], spare[1][:count]
            # The bits of costs, which are not negative, sort like the costs.
            if edges.sort_edges(costs.view(np.uint64), pairs, spare_costs.view(np.uint64), spare_pairs):
                costs, pairs = spare_costs, spare_pairs
            yield costs, pairs

    def _cut(
        self, open_edges: tuple[Floats, Floats, Numbers, bool], used: tuple[float, int], bound: float, size: float
    ) -> tuple[float, int]:
        """Choose where the next batch of about ``size`` edges ends: its last cost and, there, its last row of edges.

        Rows are edge numbers over the image's width. Ending within a cost keeps batches small when ties are many.
        """
        costs, sample = np.empty(_SAMPLE), np.empty(_SAMPLE, np.uint32)
        count = edges.sample_open(*open_edges, *used, bound, costs, sample)
        rank = int(size / (13 * self.image.size) * _SAMPLE)
        if rank >= count:
            return bound, _END
        cut = np.lexsort((sample[:count], costs[:count]))[rank]
        return float(costs[cut]), int(sample[cut]) // self.image.shape[2]


def _buffers(size: int) -> tuple[Floats, Pairs]:
    return np.empty(size), np.empty(size, np.uint64)
