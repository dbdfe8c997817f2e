"""Synthetic scans: what is drawn, from which seed, and how a training gets at them."""

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from common.data.synthetic import FAMILIES, PHANTOM, SyntheticScans, draw_scan
from common.data.synthetic.stream import prepare_scan
from common.supervoxels import Supervoxelsd
from common.transforms import ScanPreprocessing


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_draws_a_body_with_parts_on_a_grid_of_its_own(family):
    scan = draw_scan(0, 3, family)
    assert scan.family == family
    assert scan.image.shape == scan.label.shape
    assert scan.image.shape[:2] == (144, 144)
    assert 12 <= scan.image.shape[2] <= 24
    assert len(np.unique(scan.label)) > 3
    hounsfield = scan.image.min() < -500
    assert hounsfield == FAMILIES[family].hounsfield
    air = scan.image[scan.label == 0]
    inside = scan.image[scan.label > 0]
    assert np.median(inside) > np.median(air)
    spacing = np.abs(np.diag(scan.affine)[:3])
    assert 1.5 < spacing[0] == spacing[1] < 3
    assert 5 <= spacing[2] <= 12


def test_a_scan_depends_on_seed_and_number_alone():
    first, again, other = draw_scan(1, 7), draw_scan(1, 7), draw_scan(1, 8)
    assert first.family == again.family
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_half_of_the_scans_are_subjects_of_the_phantom():
    subject = draw_scan(0, 3, PHANTOM)
    assert subject.image.shape[:2] == (176, 176) and set(np.unique(subject.label)) == set(range(5))
    kinds = [draw_scan(5, number).family for number in range(12)]
    # The kind is the first draw of a scan's generator.
    assert [kind == PHANTOM for kind in kinds] == [np.random.default_rng([5, n]).random() < 0.5 for n in range(12)]


def test_families_come_by_their_shares():
    names, shares = list(FAMILIES), np.array([kind.share for kind in FAMILIES.values()])
    assert shares.sum() == pytest.approx(1)
    for number in range(12):
        generator = np.random.default_rng([5, number])
        if generator.random() >= 0.5:
            assert draw_scan(5, number).family == names[generator.choice(len(names), p=shares / shares.sum())]


def _steps() -> Compose:
    prepare = ScanPreprocessing(spacing=[2.5, 2.5, 10], image_size=128, normalisation="body_median")
    return Compose([*prepare.geometry, Supervoxelsd("image", min_size=500), prepare.normalise])


def test_a_prepared_scan_lies_on_the_networks_grid():
    item = prepare_scan(Compose(_steps().transforms[1:]), 0, 2, (0.6, 1.8))
    assert item["image"].shape[:3] == item["supervoxels"].shape[:3] == (1, 128, 128)
    assert item["image"].dtype == torch.float32
    body = item["image"][item["supervoxels"] > 0]
    assert abs(float(body.median())) < 0.3
    assert int(item["supervoxels"].max()) > 3


def test_chapters_are_the_same_whoever_asks_first():
    one = SyntheticScans(_steps(), volumes=2, episodes=8, sizes=(0.6, 1.8))
    other = SyntheticScans(_steps(), volumes=2, episodes=8, sizes=(0.6, 1.8))
    with one, other:
        one.fill()
        one.chapter(0)
        later = one.chapter(1)
        resumed = other.chapter(1)
    assert [item["subject"] for item in later] == [item["subject"] for item in resumed]
    for item, again in zip(later, resumed, strict=True):
        assert torch.equal(item["image"], again["image"])
        assert torch.equal(item["supervoxels"], again["supervoxels"])
