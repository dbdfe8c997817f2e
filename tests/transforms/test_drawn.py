"""What is drawn outlives resampling, for any slice distance."""

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Spacing

from common.transforms.drawn import LOST, KeepDrawnd, drawn_across, keep_drawn


def label_map(shape=(20, 20, 30), spacing=(1.0, 1.0, 1.5)):
    return MetaTensor(torch.zeros(1, *shape), torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64)))


def resample(label, *spacing):
    return Spacing(spacing, mode="nearest")(label)


@pytest.mark.parametrize("index", range(30))
def test_one_thin_slice_survives_wherever_it_lies(index):
    drawn = label_map()
    drawn[0, 5:12, 5:12, index] = 3
    resampled = resample(drawn, 1.0, 1.0, 7.7)
    kept = keep_drawn(resampled, drawn)
    slices = (kept == 3).flatten(0, 2).any(0).nonzero().flatten().tolist()
    assert len(slices) == 1
    position = float(kept.affine[2, 2]) * slices[0]
    assert abs(position - 1.5 * index) <= 7.7 / 2 + 1e-6 or slices[0] == kept.shape[-1] - 1
    assert (kept == 3).sum() == 49
    assert kept.meta[LOST] == []


def test_what_is_there_stays_as_it_is():
    drawn = label_map()
    drawn[0, 3:15, 4:12, :] = 2
    resampled = resample(drawn, 2.0, 2.0, 7.7)
    assert torch.equal(keep_drawn(resampled, drawn), resampled.int())


def test_organs_of_neighbouring_thin_slices_share_a_slice():
    drawn = label_map()
    drawn[0, 2:8, 2:8, 10] = 1
    drawn[0, 12:18, 2:8, 11] = 2
    kept = keep_drawn(resample(drawn, 1.0, 1.0, 20.0), drawn)
    assert sorted(kept.unique().tolist()) == [0, 1, 2]


def test_an_organ_under_another_one_takes_some_of_its_place():
    drawn = label_map()
    drawn[0, 2:18, 2:18, 13] = 1
    drawn[0, 8:10, 8:10, 11] = 2
    kept = keep_drawn(resample(drawn, 1.0, 1.0, 20.0), drawn)
    assert sorted(kept.unique().tolist()) == [0, 1, 2]


def test_a_single_pixel_survives_coarse_pixels():
    drawn = label_map()
    drawn[0, 7, 11, 5] = 9
    assert int((keep_drawn(resample(drawn, 4.0, 4.0, 1.5), drawn) == 9).sum()) == 1


def test_flipped_axes():
    drawn = label_map()
    drawn.affine[2] = torch.tensor([0, 0, -1.5, 40.0])
    drawn[0, 5:12, 5:12, 4] = 3
    kept = keep_drawn(resample(drawn, 1.0, 1.0, 7.7), drawn)
    assert int((kept == 3).sum()) == 49


def test_what_lies_outside_is_told():
    drawn = label_map()
    drawn[0, 0, 0, :] = 4
    drawn[0, 10, 10, :] = 5
    cropped = drawn[:, 5:15, 5:15].clone()
    cropped.affine[:2, 3] = 5.0
    data = KeepDrawnd("label")({"label": cropped, "drawn_label": drawn})
    assert data["label"].meta[LOST] == [4]
    assert list(data) == ["label"]


def test_a_drawing_across_the_slices_is_told():
    """Organ 1 is drawn on a coronal plane, 2 on an axial one, 3 is a volume, 4 a vertical line."""
    label = torch.zeros(1, 9, 9, 8)
    label[0, 2:6, 4, 1:6], label[0, 1:4, 1:4, 7], label[0, 6:8, 6:8, 2:6], label[0, 0, 0, :] = 1, 2, 3, 4
    (line,) = drawn_across(MetaTensor(label))
    assert line.startswith("organ 1 is drawn on one plane across the slices that the model cuts, a line on each of 5")
