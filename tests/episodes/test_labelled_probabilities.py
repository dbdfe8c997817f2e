"""Labelled episodes: exact probabilities, the ends of the draws, and labels that cannot be used."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from common.episodes.labelled import find_labelled
from common.episodes.pack import pack_volumes
from common.errors import InputError
from tests.episodes.loaders import slice_loader


@pytest.fixture
def scans(make_volume):
    """Labels 1 (on 5 of 10 slices) and 30000 (on 4), each in two scans; slices 0 to 3 are a, 4 to 6 b, 7 to 9 c."""
    return [
        make_volume([(1, [0, 1, 2], 30), (30000, [3], 40)], depth=4, subject="a"),
        make_volume([(1, [0, 1], 25)], depth=3, subject="b"),
        make_volume([(30000, [0, 1, 2], 50)], depth=3, subject="c"),
    ]


def by_hand():
    """Probability of each query, support and label of ``scans``: the weights are 5 / 10 and 6 / 10."""
    expected = {}
    for label, weight, volumes in ((1, 5 / 11, [(0, 1, 2), (4, 5)]), (30000, 6 / 11, [(3,), (7, 8, 9)])):
        slices = sum(map(len, volumes))
        for own, other in (volumes, volumes[::-1]):
            expected |= {(q, s, label): weight / slices / len(other) for q in own for s in other}
    return expected


def test_exact_probabilities(scans):
    # Midpoints of grids so fine that each pair's share of them is its probability.
    steps = [(np.arange(n) + 0.5) / n for n in (11, 20, 6)]
    numbers = np.stack(np.meshgrid(*steps), -1).reshape(-1, 3)
    drawn = find_labelled(pack_volumes(scans), min_area=20).draw(numbers)
    found = Counter(zip(drawn.second.tolist(), drawn.first.tolist(), drawn.supervoxel.tolist(), strict=True))
    assert {key: count / len(numbers) for key, count in found.items()} == pytest.approx(by_hand(), rel=1e-12)


def test_frequencies_of_the_stream(scans):
    options = {"pairing": "scans", "intensity_target": "none", "geometry_target": "none", "min_area": 20}
    batch = slice_loader(scans, **options).episodes(range(2000))
    images = torch.cat([scan["image"][0].permute(2, 0, 1) for scan in scans])
    labels = torch.cat([scan["supervoxels"][0].permute(2, 0, 1) for scan in scans])
    found: Counter[tuple[int, ...]] = Counter()
    for image, mask, support, support_mask in zip(*batch.values(), strict=True):
        numbers = [int((images == one.view(16, 20)).all(-1).all(-1).nonzero().item()) for one in (image, support)]
        label = int(labels[numbers[0]][mask[0].bool()][0])
        for number, one in zip(numbers, (mask, support_mask), strict=True):
            assert torch.equal(labels[number] == label, one.view(16, 20).bool())
        found[(*numbers, label)] += 1
    expected = by_hand()
    assert set(found) <= set(expected)
    assert chisquare([found[key] for key in expected], [2000 * value for value in expected.values()]).pvalue > 0.01


def test_draws_at_the_ends(scans):
    end = np.nextafter(1, 0)
    drawn = find_labelled(pack_volumes(scans), min_area=20).draw([[0, 0, 0], [0, 0, end], [end, end, 0], [end] * 3])
    assert drawn.second.tolist() == [0, 0, 9, 9]
    assert drawn.first.tolist() == [4, 5, 3, 3]


def test_labels_on_every_slice(make_volume):
    """Such a label has no weight; where all are like that, they are drawn alike."""
    boxes = [(2, [0, 1], 30), (5, [0, 1], 30)]
    common = [make_volume(boxes, depth=2, subject=name) for name in "ab"]
    drawn = find_labelled(pack_volumes(common), min_area=20).draw([[0.49, 0.0, 0.0], [0.51, 0.6, 0.6]])
    assert drawn.supervoxel.tolist() == [2, 5] and drawn.second.tolist() == [0, 2] and drawn.first.tolist() == [2, 1]
    for scan in common:
        scan["supervoxels"][0, ..., 0][scan["supervoxels"][0, ..., 0] == 2] = 0
    drawn = find_labelled(pack_volumes(common), min_area=20).draw([[0, 0, 0], [np.nextafter(1, 0), 0, 0]])
    assert drawn.supervoxel.tolist() == [2, 2]


def test_values_that_had_to_be_renumbered_are_refused(scans):
    scans[1]["supervoxels"][scans[1]["supervoxels"] == 1] = 40000
    pack = pack_volumes(scans)
    assert pack.renumbered == [False, True, False]
    with pytest.raises(InputError, match="^b: has label values above 32767"):
        find_labelled(pack, min_area=20)


def test_excluded_labels(scans):
    for scan in scans:
        scan["label"] = torch.zeros_like(scan["image"])
    scans[0]["label"][0, 0, 0, 1] = 9
    assert set(find_labelled(pack_volumes(scans), min_area=20, excluded_labels=(9,)).slices) == {0, 2, 3, 4, 5, 7, 8, 9}
