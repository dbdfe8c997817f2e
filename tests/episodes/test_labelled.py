"""Labelled episodes: organs by rarity, two scans, uniform slices."""

import numpy as np
import pytest
import torch

from common.episodes.labelled import find_labelled
from common.episodes.pack import pack_volumes
from common.errors import InputError
from tests.episodes.loaders import slice_loader


@pytest.fixture
def annotated(make_volume):
    """Organ 3 in all volumes, organ 40 in two, organ 7 in one."""
    return [
        make_volume([(3, [0, 1, 2], 30), (40, [2, 3], 25)], subject="a"),
        make_volume([(3, [1], 30), (40, [0, 1], 25), (7, [5], 60)], depth=6, subject="b"),
        make_volume([(3, [0, 1], 50), (40, [3], 5)], depth=4, subject="c"),
    ]


def draw_all(candidates, steps=60):
    middles = (np.arange(steps) + 0.5) / steps
    return candidates.draw(np.stack(np.meshgrid(middles, middles, middles), -1).reshape(-1, 3))


def test_two_scans_and_probabilities(annotated):
    with pytest.warns(UserWarning, match=r"\[7\] are in one training scan only"):
        candidates = find_labelled(pack_volumes(annotated), min_area=20)
    drawn = draw_all(candidates)
    volume = np.repeat([0, 1, 2], [6, 6, 4])
    assert (volume[drawn.first] != volume[drawn.second]).all()
    assert set(drawn.supervoxel) == {3, 40}
    # Organ 3 is on 6 of 16 slices, organ 40 on 4 (the fifth is too small): 10/16 against 12/16.
    assert (drawn.supervoxel == 3).mean() == pytest.approx(10 / 22, abs=0.02)
    queries = drawn.second[drawn.supervoxel == 3]
    assert np.bincount(queries, minlength=16)[[0, 1, 2, 7, 12, 13]] / len(queries) == pytest.approx(1 / 6, abs=0.02)
    supports = drawn.first[(drawn.supervoxel == 3) & (drawn.second == 7)]
    assert np.bincount(supports, minlength=16)[[0, 1, 2, 12, 13]] / len(supports) == pytest.approx(1 / 5, abs=0.02)


@pytest.mark.filterwarnings("ignore:label values")
def test_episodes_show_the_organ_in_both_slices(annotated):
    loader = slice_loader(annotated, pairing="scans", min_area=20, intensity_target="none", geometry_target="none")
    batch = loader.episodes(range(40))
    areas = {30, 25, 50}
    for key in ("label", "support_mask"):
        assert set(batch[key].flatten(1).sum(1).tolist()) <= areas
    images = torch.cat([volume["image"][0].permute(2, 0, 1) for volume in annotated])
    volume = np.repeat([0, 1, 2], [6, 6, 4])
    for query, support in zip(batch["image"][:, 0], batch["support_image"][:, 0, 0], strict=True):
        first, second = (int((images == one).all(2).all(1).nonzero()) for one in (query, support))
        assert volume[first] != volume[second]
    alone = loader.episodes([7])
    assert torch.equal(alone["image"][0], batch["image"][7])


def test_one_scan_is_not_enough(annotated):
    with pytest.raises(InputError, match=r"is in two training scans \(found: \[3, 40\]\)"):
        find_labelled(pack_volumes(annotated[:1]), min_area=20)
    with pytest.raises(InputError, match="1000 pixels or more"):
        find_labelled(pack_volumes(annotated), min_area=1000)
