"""Compiled loops over the edges of the 3D Felzenszwalb segmentation, made on the fly.

An edge is one number, ``group * voxels + voxel``: ``group`` indexes ``OFFSETS``, ``voxel`` is the flat index of its
first end. Ascending numbers are the order in which the published code lists the edges, which decides ties.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .forest import CLOSED, HALF, NUMBER, Floats, Forest, Numbers, Pairs, compiled, find, join

# Half of the 26 neighbours (dz, dy, dx), in the published order.
OFFSETS = np.array(
    [(0, 1, 0), (0, 1, 1), (0, 0, 1), (0, 1, -1), (1, 1, 0), (1, 1, 1), (1, 0, 1)]
    + [(1, -1, 0), (1, -1, -1), (1, 0, -1), (1, 1, -1), (1, -1, 1), (1, 0, 0)]
)
_DIGIT = 11


@compiled
def join_equal(image: Floats, multipliers: Floats, forest: Forest, bound: float) -> bool:
    """Join all ends of zero-cost edges, in any order; return whether some edge costs more than 0 and at most ``bound``.

    Args:
        image: ``(Z, Y, X)`` float64.
        multipliers: ``(13,)`` factors of the absolute difference.
        forest: ``(voxels,)``, changed in place.
        bound: cost.
    """
    depth, height, width = image.shape
    flat = image.ravel()
    costs = np.empty(width)
    found = False
    for group in range(13):
        dz, dy, dx = OFFSETS[group]
        step = (dz * height + dy) * width + dx
        for z in range(depth - dz):
            for y in range(max(0, -dy), height - max(0, dy)):
                start = (z * height + y) * width + max(0, -dx)
                length = width - abs(dx)
                values, others = flat[start : start + length], flat[start + step : start + step + length]
                equal = cheap = 0
                for index in range(length):
                    costs[index] = abs(values[index] - others[index]) * multipliers[group]
                    equal += costs[index] == 0.0
                    cheap += costs[index] <= bound
                found |= cheap > equal
                if equal == 0:
                    continue
                for index in range(length):
                    if costs[index] == 0.0:
                        first, second = find(forest, start + index), find(forest, start + index + step)
                        if first != second:
                            join(forest, first, second)
    return found


@compiled
def sample_open(
    image: Floats,
    multipliers: Floats,
    members: Numbers,
    any_closed: bool,
    after_cost: float,
    after_row: int,
    bound: float,
    costs: Floats,
    edges: Numbers,
) -> int:
    """Fill ``costs`` and ``edges`` from an even sample of as many edges; return how many of them are open.

    An edge is open when it costs at most ``bound``, joins two components of which neither (``any_closed``) or not both
    are closed, and comes after all edges up to (``after_cost``, ``after_row``); its row is its number over the width.
    """
    depth, height, width = image.shape
    flat = image.ravel()
    total = 13 * image.size
    # A stride near the golden section spreads the sample over all groups and slices, the same way every time.
    stride = int(0.6180339887498949 * total) | 1
    edge = total // 2
    count = 0
    for _ in range(costs.size):
        edge = (edge + stride) % total
        group, voxel = edge // image.size, edge % image.size
        dz, dy, dx = OFFSETS[group]
        z, y, x = voxel // (height * width), voxel // width % height, voxel % width
        if z + dz >= depth or not 0 <= y + dy < height or not 0 <= x + dx < width:
            continue
        other = voxel + (dz * height + dy) * width + dx
        cost = abs(flat[voxel] - flat[other]) * multipliers[group]
        if cost > bound or cost < after_cost or (cost == after_cost and edge // width <= after_row):
            continue
        if _is_open(members[voxel], members[other], any_closed):
            costs[count] = cost
            edges[count] = edge
            count += 1
    return count


@compiled
def collect_open(
    image: Floats,
    multipliers: Floats,
    members: Numbers,
    any_closed: bool,
    after_cost: float,
    after_row: int,
    last_cost: float,
    last_row: int,
    costs: Floats,
    pairs: Pairs,
) -> int:
    """Write costs and pairs of components of the open edges up to (``last_cost``, ``last_row``); return their number.

    They come in ascending number of the edge. The number is -1 when the buffers, which need one row of slack, are too
    small.
    """
    depth, height, width = image.shape
    flat = image.ravel()
    above, below = np.nextafter(after_cost, np.inf), np.nextafter(last_cost, -np.inf)
    row_costs, row_open = np.empty(width), np.empty(width, np.uint8)
    count = 0
    for group in range(13):
        dz, dy, dx = OFFSETS[group]
        step = (dz * height + dy) * width + dx
        multiplier = multipliers[group]
        for z in range(depth - dz):
            for y in range(max(0, -dy), height - max(0, dy)):
                row = (group * depth + z) * height + y
                start = (z * height + y) * width + max(0, -dx)
                length = width - abs(dx)
                if count + length > costs.size:
                    return -1
                values, others = flat[start : start + length], flat[start + step : start + step + length]
                ends, other_ends = members[start : start + length], members[start + step : start + step + length]
                lowest = after_cost if row > after_row else above
                highest = last_cost if row <= last_row else below
                found = 0
                # Two loops without branches: the compiler vectorises the first one.
                for index in range(length):
                    cost = abs(values[index] - others[index]) * multiplier
                    row_costs[index] = cost
                    is_open = _is_open(ends[index], other_ends[index], any_closed)
                    row_open[index] = np.uint8((cost >= lowest) & (cost <= highest) & is_open)
                    found += row_open[index]
                if found == 0:
                    continue
                for index in range(length):
                    costs[count] = row_costs[index]
                    pairs[count] = _pair(ends[index], other_ends[index])
                    count += row_open[index]
    return count


@compiled
def sort_edges(keys: Pairs, pairs: Pairs, spare_keys: Pairs, spare_pairs: Pairs) -> bool:
    """Sort edges by key (the bits of a cost that is not negative), stable: a radix sort, least digit first.

    Returns:
        Whether the result is in the spare buffers.
    """
    digits = 64 // _DIGIT + 1
    counts = np.zeros((digits, 1 << _DIGIT), np.int64)
    mask = np.uint64((1 << _DIGIT) - 1)
    for key in keys:
        for digit in range(digits):
            counts[digit, (key >> np.uint64(_DIGIT * digit)) & mask] += 1
    swapped = False
    for digit in range(digits):
        shift = np.uint64(_DIGIT * digit)
        if counts[digit].max() == keys.size:
            continue
        position = 0
        for value in range(1 << _DIGIT):
            position, counts[digit, value] = position + counts[digit, value], position
        for index in range(keys.size):
            value = (keys[index] >> shift) & mask
            target = counts[digit, value]
            counts[digit, value] += 1
            spare_keys[target] = keys[index]
            spare_pairs[target] = pairs[index]
        keys, spare_keys = spare_keys, keys
        pairs, spare_pairs = spare_pairs, pairs
        swapped = not swapped
    return swapped


@njit(cache=True, nogil=True, inline="always")
def _pair(first: int, second: int) -> int:
    return (np.uint64(first & NUMBER) << HALF) | np.uint64(second & NUMBER)


@njit(cache=True, nogil=True, inline="always")
def _is_open(first: int, second: int, any_closed: bool) -> bool:
    closed = (first | second) if any_closed else (first & second)
    return (first != second) & (closed < CLOSED)
