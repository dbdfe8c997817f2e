"""Supervoxels of volumes: the windows that hold enough of them, and the probabilities of their pairs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from common.episodes.pack import pack_volumes
from common.episodes.structures import Structure, find_structures
from tests.episodes.loaders import window_loader


@pytest.fixture
def volumes(make_volume):
    """Supervoxel 1 has areas 10, 0, 30, 30, 0, 5; supervoxel 4 has 6 on slices 2 and 3; volume b has three slices."""
    first = make_volume([(1, [0], 10), (1, [2, 3], 30), (1, [5], 5), (4, [2, 3], 6)], depth=6, subject="a")
    return [first, make_volume([(2, [1], 20)], depth=3, subject="b")]


def windows(pack, *options, excluded=()):
    found = find_structures(pack, pack.usable(excluded), *options)
    return {(s.volume, s.supervoxel): s.starts.tolist() for s in found}


def test_windows_hold_enough(volumes):
    pack = pack_volumes(volumes)
    assert windows(pack, 2) == {(0, 1): [0, 1, 2, 3, 4], (0, 4): [1, 2, 3], (1, 2): [0, 1]}
    assert windows(pack, 2, 30) == {(0, 1): [1, 2, 3]}
    assert windows(pack, 3, 40) == {(0, 1): [0, 1, 2]}
    assert windows(pack, 3, 61) == {}
    # Four slices are more than volume b has: one window.
    assert windows(pack, 4, 12) == {(0, 1): [0, 1, 2], (0, 4): [0, 1, 2], (1, 2): [0]}


def test_excluded_slices_are_in_no_window(volumes):
    for volume in volumes:
        volume["label"] = torch.zeros_like(volume["image"])
    volumes[0]["label"][0, 0, 0, 4] = 7
    found = windows(pack_volumes(volumes), 2, excluded=(7,))
    assert found == {(0, 1): [0, 1, 2], (0, 4): [1, 2], (1, 2): [0, 1]}


def test_bounds_and_slices(volumes):
    volumes[1]["supervoxels"].zero_()
    volumes[1]["supervoxels"][0, 3:7, 10:12, 1] = 9
    pack = pack_volumes(volumes)
    (found,) = (s for s in find_structures(pack, pack.usable(), 1) if s.volume == 1)
    assert (found.supervoxel, found.first, found.last, found.low, found.high) == (9, 6, 8, (3, 10), (7, 12))


@pytest.mark.parametrize(
    ("low", "high", "rows"),
    [
        (4, 7, {2, 3, 4}),  # inside of five rows
        (0, 3, {0}),  # at the edge
        (8, 10, {5}),  # at the other one
        (1, 9, {1, 2, 3, 4}),  # larger than the window, which then lies inside of it
    ],
)
def test_windows_hold_the_supervoxel_in_plane(low, high, rows):
    structure = Structure(0, 1, 0, 9, np.array([3]), (low, 0), (high, 4))
    found = {structure.window(0, (5, 4, 2), (10, 4), np.array([n, 0.99])).corner for n in np.linspace(0, 0.999, 50)}
    assert found == {(row, 0, 3) for row in rows}


def test_probabilities_of_near_windows(make_volume):
    """A uniform volume, supervoxel and first window; a uniform second one, at most one place of the list away."""
    volumes = [
        make_volume([(1, [0, 1, 2, 5], 20), (2, [3, 4], 20)], depth=6, subject="a"),
        make_volume([(1, [1], 20)], depth=2, subject="b"),
    ]
    images = torch.cat([volume["image"][0].permute(2, 0, 1) for volume in volumes])
    options = {"patch_size": (16, 20, 1), "pairing": "near", "max_shift": 1, "swap_probability": 0.0}
    batch = window_loader(volumes, **options, intensity_target="none", geometry_target="none").episodes(range(3000))
    pairs = zip(batch["image"], batch["support_image"][:, 0], strict=True)
    found = Counter(
        tuple(int((images == one[0, ..., 0]).all(-1).all(-1).nonzero().item()) for one in pair) for pair in pairs
    )
    expected = {(7, 7): 1 / 2}
    for slices in ([0, 1, 2, 5], [3, 4]):
        for place, support in enumerate(slices):
            queries = slices[max(0, place - 1) : place + 2]
            expected |= {(query, support): 1 / 4 / len(slices) / len(queries) for query in queries}
    assert set(found) == set(expected)
    assert chisquare([found[key] for key in expected], [3000 * value for value in expected.values()]).pvalue > 0.01
