"""The 3D Felzenszwalb segmentation as plainly as it can be written: all edges, one stable sort, two passes."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.util import img_as_float64

# Half of the 26 neighbours (dz, dy, dx) in the order that decides ties.
OFFSETS = [(0, 1, 0), (0, 1, 1), (0, 0, 1), (0, 1, -1), (1, 1, 0), (1, 1, 1), (1, 0, 1)]
OFFSETS += [(1, -1, 0), (1, -1, -1), (1, 0, -1), (1, 1, -1), (1, -1, 1), (1, 0, 0)]


def felzenszwalb_oracle(
    image: NDArray, scale: float, sigma: float, min_size: int, spacing: tuple[float, float, float]
) -> NDArray[np.int32]:
    """Partition ``image`` (Z, Y, X) or (Y, X) into components numbered from 0 in raster order."""
    values = img_as_float64(np.asarray(image))
    values = values.reshape(values.shape + (1,) * (3 - values.ndim))
    if sigma > 0:
        values = gaussian_filter(values, [sigma / size for size in spacing])
    s = spacing[0] / spacing[1]
    multiplier = {1: s, 2: np.sqrt((1 + s**2) / 2), 3: np.sqrt((2 + s**2) / 3)}
    costs = np.full((13, *values.shape), np.inf)  # infinite where the edge would leave the image
    for index, offset in enumerate(OFFSETS):
        here = tuple(slice(max(0, -d), min(n, n - d)) for d, n in zip(offset, values.shape, strict=True))
        there = tuple(slice(max(0, d), min(n, n + d)) for d, n in zip(offset, values.shape, strict=True))
        factor = multiplier[sum(map(abs, offset))] if offset[0] else 1.0
        costs[index][here] = np.abs(values[here] - values[there]) * factor
    costs = costs.ravel()
    order = np.argsort(costs, kind="stable")
    steps = np.array(OFFSETS) @ [values.shape[1] * values.shape[2], values.shape[2], 1]
    return _two_passes(costs[order], order, steps, values.size, scale / 255, min_size).reshape(np.shape(image))


@njit(cache=True)
def _two_passes(costs, order, steps, voxels, scale, min_size):
    parent = np.arange(voxels, dtype=np.int32)
    size = np.ones(voxels, np.int32)
    inner = np.zeros(voxels)
    for edge, cost in zip(order, costs):  # noqa: B905 (numba)
        if cost == np.inf:
            break
        a, b = _root(parent, edge % voxels), _root(parent, edge % voxels + steps[edge // voxels])
        if a != b:
            threshold = min(np.float32(inner[a] + scale / size[a]), np.float32(inner[b] + scale / size[b]))
            if cost < threshold:
                inner[_unite(parent, size, a, b)] = cost
    for edge, cost in zip(order, costs):  # noqa: B905 (numba)
        if cost == np.inf:
            break
        a, b = _root(parent, edge % voxels), _root(parent, edge % voxels + steps[edge // voxels])
        if a != b and (size[a] < min_size or size[b] < min_size):
            _unite(parent, size, a, b)
    labels = np.empty(voxels, np.int32)
    count = 0
    for voxel in range(voxels):  # a root is the smallest voxel of its component
        root = _root(parent, voxel)
        if root == voxel:
            labels[voxel] = count
            count += 1
        labels[voxel] = labels[root]
    return labels


@njit(cache=True)
def _root(parent, voxel):
    while parent[voxel] != voxel:
        parent[voxel] = parent[parent[voxel]]
        voxel = parent[voxel]
    return voxel


@njit(cache=True)
def _unite(parent, size, a, b):
    root, other = min(a, b), max(a, b)
    parent[other] = root
    size[root] += size[other]
    return root
