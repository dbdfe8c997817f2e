"""Label maps on their image's grid are accepted in any orientation, and no others."""

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.data.reading import to_grid
from common.errors import InputError
from common.transforms import LoadScansd
from tests.dicom.writer import rotation

SHAPE = (4, 5, 3)


def oblique(*degrees):
    axes = np.reshape(rotation(*degrees), (2, 3))
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*axes, np.cross(*axes)], 1) @ np.diag([0.8, 1.1, 3.0])
    affine[:3, 3] = [12.0, -7.5, 40.0]
    return affine


def turned(values, affine, axes, signs):
    """Store a volume with its axes permuted and flipped, the affine to match."""
    orientation = np.stack([axes, signs], 1)
    stored = nib.orientations.apply_orientation(values, orientation)
    return stored, affine @ nib.orientations.inv_ornt_aff(orientation, values.shape)


def check(label, label_affine, image_affine):
    image = torch.arange(60, dtype=torch.float32).reshape(1, *SHAPE)
    data = {
        "image": MetaTensor(image, torch.as_tensor(image_affine), meta={"filename_or_obj": "image.nii.gz"}),
        "label": MetaTensor(
            torch.as_tensor(label.copy())[None], torch.as_tensor(label_affine), meta={"filename_or_obj": "label.nii.gz"}
        ),
    }
    return LoadScansd(["image", "label"])(data)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (17, -31, 8), (0, 0, 44), (40, 40, 10)])
def test_flipped_and_permuted_label_maps_come_back_to_the_image(degrees):
    values = np.arange(60).reshape(SHAPE).astype(np.float32)
    affine = oblique(*degrees)
    for axes, signs in itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)):
        label = check(*turned(values, affine, axes, signs), affine)["label"]
        assert np.array_equal(label[0].numpy(), values)
        assert np.allclose(label.affine.numpy(), affine)
        assert label.applied_operations == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda affine: affine + np.eye(4)[:, [0, 1, 3, 2]] * 0.5, "label affine differs"),
        (lambda affine: affine @ np.diag([1, 1, 1.2, 1]), "label affine differs"),
        (lambda affine: np.diag([1.0, -1, 1, 1]) @ affine, "label affine differs"),
    ],
    ids=["shifted", "spacing", "mirrored"],
)
def test_label_maps_on_another_grid_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        check(np.ones(SHAPE, np.float32), change(oblique(0, 0, 0)), oblique(0, 0, 0))


def test_rounding_in_headers_counts_where_it_adds_up():
    image = MetaTensor(torch.zeros(1, 400, 4, 3), torch.diag(torch.tensor([0.7, 0.7, 5, 1.0])).double())
    label = MetaTensor(torch.zeros(1, 400, 4, 3), torch.diag(torch.tensor([0.7001, 0.7, 5.01, 1.0])).double())
    assert torch.equal(to_grid(label, image).affine, image.affine)
    label.affine[0, 0] = 0.705
    with pytest.raises(InputError, match=r"label affine differs from that of .* by up to 2 mm"):
        to_grid(label, image)


def test_another_shape_is_refused():
    with pytest.raises(InputError, match=r"label grid \(5, 4, 3\) differs from \(4, 5, 3\)"):
        check(np.ones((5, 4, 3), np.float32), oblique(0, 0, 0), oblique(0, 0, 0))
