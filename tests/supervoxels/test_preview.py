"""The picture of supervoxels."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.supervoxels.preview import preview

AFFINE = torch.diag(torch.tensor([1.0, 1.0, 5.0, 1.0], dtype=torch.float64))


@pytest.fixture
def pair():
    image = MetaTensor(torch.zeros(1, 40, 30, 9), affine=AFFINE, meta={"filename_or_obj": "scan.nii"})
    ids = MetaTensor(torch.zeros(1, 40, 30, 9, dtype=torch.int32), affine=AFFINE)
    image[0, 5:35, 5:25, 1:8] = 100
    ids[0, 5:35, 5:25, 1:8] = 1
    ids[0, 5:15, 5:25, 1:8] = 2  # low x: the patient's left in this affine
    return image, ids


def test_writes_a_picture_in_colour(pair, tmp_path):
    path = preview(*pair, tmp_path / "new" / "a.png", min_size=50)
    assert path == tmp_path / "new" / "a.png"
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    picture = matplotlib.image.imread(path)[..., :3]
    assert picture.shape[0] > 500
    assert picture.shape[1] > 1000
    assert (np.ptp(picture, axis=2) > 0.1).mean() > 0.2


def test_the_patients_left_is_on_the_right(pair, tmp_path):
    image, ids = pair
    image[0, 5:15, 5:25, 1:8] = 0  # dark
    picture = matplotlib.image.imread(preview(image, ids, tmp_path / "a.png", slices=1))[..., :3]
    panel = picture[:60, : picture.shape[1] // 4 - 10].mean(axis=2)
    assert panel[20:, 20:100].mean() > panel[20:, -60:-20].mean() + 0.2


def test_same_input_same_picture(pair, tmp_path):
    first, second = (preview(*pair, tmp_path / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second


def test_nothing_to_show_is_said(pair, tmp_path):
    image, ids = pair
    with pytest.raises(InputError, match=r"scan\.nii: no supervoxel to show"):
        preview(image, ids * 0, tmp_path / "a.png")
    with pytest.raises(InputError, match=r"scan\.nii: image \(1, 40, 30, 9\) but supervoxels \(1, 40, 30, 8\)"):
        preview(image, ids[..., 1:], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
