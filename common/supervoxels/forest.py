"""Compiled loops over the components of the 3D Felzenszwalb segmentation: a union-find forest.

Components have numbers of their own: ``members`` says for each voxel which component it was in when it was last asked,
and the forest, an ``int32`` array over those, how they were joined since: a root holds minus its component's size in
voxels, any other entry an ancestor. Numbers are handed out anew from time to time, so that the forest stays small
enough for the processor's cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

CLOSED = np.uint32(1 << 31)  # mark of a closed component in ``members``
NUMBER = np.uint32((1 << 31) - 1)  # bits of its number
HALF, SECOND = np.uint64(32), np.uint64((1 << 32) - 1)  # of a pair: shift of the first component, bits of the second

compiled = njit(cache=True, nogil=True)
Floats = NDArray[np.float64]
Forest = NDArray[np.int32]
Numbers = NDArray[np.uint32]
Pairs = NDArray[np.uint64]  # two components in one number


@compiled
def renumber_by_threshold(members: Numbers, forest: Forest, inner: Floats, scale: float, level: float) -> int:
    """Number components anew, see ``renumber_by_size``; closed are those whose threshold is not above ``level``."""
    closed = np.zeros(forest.size, np.bool_)
    for component in range(forest.size):
        if forest[component] < 0:
            closed[component] = _threshold(forest, inner, scale, component) <= level
    numbers = _number_roots(forest, closed)
    for component in range(forest.size):
        if forest[component] < 0:
            inner[numbers[component] & NUMBER] = inner[component]
    return _renumber(members, forest, numbers)


@compiled
def renumber_by_size(members: Numbers, forest: Forest, min_size: int) -> int:
    """Number components anew, from 0 up, and return how many there are: the length of the forest from now on.

    Args:
        members: component of each voxel, ``(voxels,)``; changed in place, components of ``min_size`` voxels and more
            are marked closed.
        forest: ``(components,)``, changed in place.
        min_size: voxels.
    """
    return _renumber(members, forest, _number_roots(forest, -forest >= min_size))


@compiled
def join_by_threshold(pairs: Pairs, costs: Floats, forest: Forest, inner: Floats, scale: float) -> None:
    """First pass: join ends whose edge costs less than either component's threshold; ``inner`` keeps the last cost."""
    for index in range(pairs.size):
        first, second = find(forest, pairs[index] >> HALF), find(forest, pairs[index] & SECOND)
        if first != second and costs[index] < min(
            _threshold(forest, inner, scale, first), _threshold(forest, inner, scale, second)
        ):
            inner[join(forest, first, second)] = costs[index]


@compiled
def join_by_size(pairs: Pairs, forest: Forest, min_size: int) -> int:
    """Second pass: join ends of which one is a small component; return how many small ones are left."""
    small = 0
    for component in range(forest.size):
        small += 0 < -forest[component] < min_size
    for index in range(pairs.size):
        if small == 0:
            break
        first, second = find(forest, pairs[index] >> HALF), find(forest, pairs[index] & SECOND)
        if first == second:
            continue
        joined = (-forest[first] < min_size) + (-forest[second] < min_size)
        if joined > 0:
            root = join(forest, first, second)
            small += (-forest[root] < min_size) - joined
    return small


@compiled
def number_components(members: Numbers, forest: Forest, labels: Forest) -> None:
    """Write labels 0, 1, ... in the order in which the components first appear; ``labels`` may share memory."""
    names = np.full(forest.size, -1, np.int32)
    count = 0
    for voxel in range(members.size):
        root = find(forest, members[voxel] & NUMBER)
        if names[root] < 0:
            names[root] = count
            count += 1
        labels[voxel] = names[root]


@compiled
def find(forest: Forest, component: int) -> int:
    """Give the root of a component; entries on the way are moved up."""
    component = np.int64(component)
    parent = forest[component]
    while parent >= 0:
        above = forest[parent]
        if above < 0:
            return np.int64(parent)
        forest[component] = above
        component = np.int64(above)
        parent = forest[component]
    return component


@compiled
def join(forest: Forest, first: int, second: int) -> int:
    """Put the smaller of two roots under the larger one, and return that."""
    if forest[first] > forest[second]:
        first, second = second, first
    forest[first] += forest[second]
    forest[second] = first
    return first


@compiled
def _number_roots(forest: Forest, closed: NDArray[np.bool_]) -> Numbers:
    """Give the roots numbers in order, closed ones with the mark; other entries have none yet."""
    numbers = np.empty(forest.size, np.uint32)
    count = 0
    for component in range(forest.size):
        if forest[component] < 0:
            numbers[component] = count
            if closed[component]:
                numbers[component] |= CLOSED
            count += 1
    return numbers


@compiled
def _renumber(members: Numbers, forest: Forest, numbers: Numbers) -> int:
    """Bring members and forest to new numbers, which the roots have already got; return how many roots there are."""
    for component in range(forest.size):
        if forest[component] >= 0:
            numbers[component] = numbers[find(forest, component)]
    for voxel in range(members.size):
        members[voxel] = numbers[members[voxel] & NUMBER]
    count = 0
    # New numbers are not greater than old ones: nothing is overwritten that is still needed.
    for component in range(forest.size):
        if forest[component] < 0:
            forest[count] = forest[component]
            count += 1
    return count


@compiled
def _threshold(forest: Forest, inner: Floats, scale: float, root: int) -> float:
    # The published code holds the threshold in single precision and compares it with double precision costs.
    return np.float32(inner[root] + scale / -forest[root])
