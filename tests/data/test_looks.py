"""Scans that look like none of the drawn ones are told by their intensities, their edges or their size."""

import logging

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from common.data.looks import body_width, describe, known_looks, unlikeness
from common.data.synthetic import SyntheticScans, draw_scan
from common.transforms import ScanPreprocessing, WarnUnlikeKnownd

SPACING = 4.0


@pytest.fixture(scope="module")
def steps():
    return ScanPreprocessing(spacing=[SPACING, SPACING, 10.0], image_size=96, normalisation="body_median").steps


@pytest.fixture(scope="module")
def known(steps):
    return SyntheticScans(Compose(steps), seed=0, looks=1).fingerprint()


@pytest.fixture(scope="module")
def scan(steps):
    """A scan that was not described."""
    drawn = draw_scan(9, 0, "abdomen T2")
    item = {"image": MetaTensor(torch.from_numpy(drawn.image[None]), affine=torch.from_numpy(drawn.affine))}
    return Compose(steps[1:])(item)["image"]


def warnings_of(image, known, caplog):
    with caplog.at_level(logging.WARNING):
        WarnUnlikeKnownd("image", known)({"image": image})
    return caplog.text


def test_a_drawn_scan_is_known(scan, known, caplog):
    assert unlikeness(scan, known) < 1
    assert not warnings_of(scan, known, caplog)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: torch.rand(image.shape, generator=torch.Generator().manual_seed(0)) * 8 - 1,
        lambda image: (image > 0).float() * 5,
    ],
    ids=["noise", "a mask"],
)
def test_other_looks_are_warned_of(scan, known, change, caplog):
    other = MetaTensor(change(scan.as_tensor())).copy_meta_from(scan)
    text = warnings_of(other, known, caplog)
    assert "intensities and edges" in text and "fewshot train" in text


def test_a_small_part_of_a_body_is_warned_of(scan, known, caplog):
    """The same voxels, said to be a fifth as large."""
    small = MetaTensor(scan.as_tensor(), affine=scan.affine @ torch.diag(torch.tensor([0.2, 0.2, 1, 1]).double()))
    assert body_width(small) == pytest.approx(body_width(scan) / 5)
    text = warnings_of(small, known, caplog)
    assert "mm of body" in text and "intensities" not in text


def test_the_description_is_of_the_body():
    """Air around it changes nothing."""
    image = torch.zeros(1, 40, 40, 3)
    image[:, 10:30, 10:30] = torch.linspace(1, 2, 20)[:, None, None]
    padded = torch.nn.functional.pad(image, (0, 0, 20, 20, 20, 20))
    np.testing.assert_allclose(describe(image), describe(padded))
    assert describe(torch.ones(1, 8, 8, 2)).tolist() == [1.0] * 17 + [0.0] * 5


def test_distances():
    images = [MetaTensor(torch.rand(1, 20, 20, 2, generator=torch.Generator().manual_seed(k))) for k in range(4)]
    looks = known_looks(images)
    assert len(looks["looks"]) == 4 and looks["widths"][0] <= looks["widths"][1]
    assert max(unlikeness(image, looks) for image in images) == pytest.approx(0, abs=0.01)
    assert unlikeness(images[0] + 10 * looks["far"], looks) > 1
