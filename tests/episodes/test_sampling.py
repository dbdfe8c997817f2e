"""Selection probabilities: exact values, and a literal simulation of the published rejection loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from common.episodes.pack import pack_volumes
from common.episodes.sampling import find_candidates
from common.errors import InputError


def table(candidates, groups):
    """Probability of each (first, second, supervoxel)."""
    probability = np.diff(np.r_[0, candidates.cumulative]) / groups
    rows = zip(candidates.first, candidates.second, candidates.supervoxel, strict=True)
    return {tuple(map(int, row)): value for row, value in zip(rows, probability, strict=True)}


def rejection_loop(volumes, random, min_area, both=False, excluded=()):
    """One draw of the published loop; slice numbers run through the volumes."""
    start = np.cumsum([0] + [volume["image"].shape[3] for volume in volumes])
    number = random.integers(len(volumes))
    planes = volumes[number]["supervoxels"][0].numpy()
    label = volumes[number]["label"][0].numpy() if excluded else None
    usable = [z for z in range(planes.shape[2]) if label is None or not np.isin(label[..., z], excluded).any()]
    while True:
        lists = {s: [z for z in usable if (planes[..., z] == s).any()] for s in np.unique(planes) if s}
        supervoxel = random.choice([s for s, found in lists.items() if len(found) > 1])
        position = random.integers(len(lists[supervoxel]) - 1)
        first, second = lists[supervoxel][position : position + 2]
        areas = [(planes[..., z] == supervoxel).sum() for z in (first, second)]
        if areas[0] >= min_area and (not both or areas[1] >= min_area):
            return int(start[number] + first), int(start[number] + second), int(supervoxel)


def agree(candidates, groups, simulate, draws=3000):
    expected = table(candidates, groups)
    found = Counter(simulate() for _ in range(draws))
    assert set(found) <= set(expected)
    return chisquare([found[key] for key in expected], [draws * value for value in expected.values()]).pvalue


def test_exact_probabilities(volumes):
    found = table(find_candidates(pack_volumes(volumes), min_area=20), groups=3)
    # Volume a: supervoxel 1 has 3 pairs, 2 and 5 one each; 7 is on one slice only. Weights 1/3 x 3, 1, 1: a third each.
    # Volume b: supervoxel 3 has 2 pairs, 4 has 3; 9 is too small. A half each.
    a, b = 0, 6
    expected = {
        **{(a + z, a + z + 1, 1): 1 / 27 for z in range(3)},
        (a + 1, a + 2, 2): 1 / 9,
        (a + 4, a + 5, 5): 1 / 9,
        (b + 0, b + 2, 3): 1 / 12,
        (b + 2, b + 3, 3): 1 / 12,
        **{(b + z, b + z + 1, 4): 1 / 18 for z in range(1, 4)},
        (11, 12, 2): 1 / 3,
    }
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected)


@pytest.fixture
def uneven(make_volume):
    """Supervoxels whose area changes from slice to slice, so that some of their pairs are refused."""
    volumes = [make_volume([(1, [0, 1, 2, 3], 10), (2, [1, 2, 3, 4], 10), (3, [2, 4, 5], 15)], subject=n) for n in "ab"]
    volumes[0]["supervoxels"][0, 8:11, :, 1][volumes[0]["supervoxels"][0, 8:11, :, 1] == 0] = 1
    volumes[0]["supervoxels"][0, 8:10, :, 3] = 2
    volumes[1]["supervoxels"][0, 8:11, :, 2] = 3
    volumes[1]["supervoxels"][0, 12:15, :, 3] = 1
    volumes[1]["supervoxels"][0, 12:15, :, 2] = 1
    return volumes


@pytest.mark.parametrize("rule", ["first", "both"])
def test_rejection_loop(uneven, rule):
    random = np.random.default_rng(0)
    min_area = 15 if rule == "first" else 12
    candidates = find_candidates(pack_volumes(uneven), min_area=min_area, area_rule=rule)
    pvalue = agree(candidates, 2, lambda: rejection_loop(uneven, random, min_area, both=rule == "both"))
    assert pvalue > 0.01


@pytest.mark.filterwarnings("ignore:1 of 2 volumes")
def test_area_rules_differ(uneven):
    pack = pack_volumes(uneven)
    first = table(find_candidates(pack, min_area=20, area_rule="first"), 1)
    both = table(find_candidates(pack, min_area=20, area_rule="both"), 1)
    areas = {(int(z), int(s)): int(area) for _, s, z, area in pack.occurrences}
    assert all(areas[z, s] >= 20 for z, _, s in first) and any(areas[z, s] < 20 for _, z, s in first)
    assert all(min(areas[z, s], areas[y, s]) >= 20 for z, y, s in both)
    assert set(both) == {key for key in first if areas[key[1], key[2]] >= 20}


def test_draws_follow_the_probabilities(volumes):
    candidates = find_candidates(pack_volumes(volumes), min_area=20)
    drawn = candidates.draw(np.random.default_rng(1).random((20000, 2)))
    rows = iter(zip(drawn.first.tolist(), drawn.second.tolist(), drawn.supervoxel.tolist(), strict=True))
    assert agree(candidates, 3, lambda: next(rows), draws=20000) > 0.01


def test_draws_at_the_ends(volumes):
    candidates = find_candidates(pack_volumes(volumes), min_area=20)
    end = np.nextafter(1, 0)
    drawn = candidates.draw([[0, 0], [0, end], [1 / 3 + 1e-9, 0], [end, end]])
    assert drawn.first.tolist() == [0, 4, 6, 11]
    assert drawn.supervoxel.tolist() == [1, 5, 3, 2]


def test_pairs_are_neighbours_in_the_list_of_usable_slices(volumes):
    for volume in volumes:
        volume["label"] = torch.zeros_like(volume["image"])
    volumes[0]["label"][0, 3, 4, 1] = 6  # one pixel makes slice 1 unusable
    found = table(find_candidates(pack_volumes(volumes), min_area=20, excluded_labels=(6,)), 3)
    pairs = {key: value for key, value in found.items() if key[0] < 6}
    assert pairs == pytest.approx({(0, 2, 1): 1 / 12, (2, 3, 1): 1 / 12, (4, 5, 5): 1 / 6})
    random = np.random.default_rng(2)
    candidates = find_candidates(pack_volumes(volumes), min_area=20, excluded_labels=(6,))
    assert agree(candidates, 3, lambda: rejection_loop(volumes, random, 20, excluded=(6,)), draws=1500) > 0.01


def test_other_labels_exclude_nothing(volumes):
    for volume in volumes:
        volume["label"] = torch.full_like(volume["image"], 2)
    pack = pack_volumes(volumes)
    without = find_candidates(pack, min_area=20)
    assert table(find_candidates(pack, min_area=20, excluded_labels=(1, 3)), 3) == table(without, 3)
    with pytest.raises(InputError, match="min_area is 20 pixels, the largest area on a usable slice is 0"):
        find_candidates(pack, min_area=20, excluded_labels=(2,))


def test_same_slice(make_volume):
    volumes = [make_volume([(1, [0, 1], 30), (2, [1], 5), (3, [1], 40)], depth=3)]
    found = table(find_candidates(pack_volumes(volumes), pairing="same", min_area=1), 2)
    # Slice 0 has one superpixel, slice 1 three, slice 2 none.
    assert found == pytest.approx({(0, 0, 1): 1 / 2, (1, 1, 1): 1 / 6, (1, 1, 2): 1 / 6, (1, 1, 3): 1 / 6})


def test_volume_without_pair_is_named(make_volume):
    volumes = [make_volume([(1, [0, 1], 50)], subject="good"), make_volume([(1, [2, 3], 9)], subject="empty one")]
    with pytest.warns(UserWarning, match="1 of 2 volumes .*min_area 20 pixels.* left out: empty one"):
        candidates = find_candidates(pack_volumes(volumes), min_area=20)
    assert table(candidates, 1) == {(0, 1, 1): 1.0}


def test_nothing_to_draw_is_an_error(volumes):
    with pytest.raises(InputError, match="min_area is 200 pixels, the largest area on a usable slice is 90; lower"):
        find_candidates(pack_volumes(volumes))


def test_excluded_labels_need_labels(volumes):
    volumes[0]["label"] = torch.zeros_like(volumes[0]["image"])
    with pytest.raises(InputError, match=r"^b: has no label map, excluded_labels \[1\]"):
        find_candidates(pack_volumes(volumes), min_area=20, excluded_labels=(1,))
