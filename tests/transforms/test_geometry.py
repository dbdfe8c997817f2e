"""Geometry transforms: axes, sizes to the pixel, and the way back."""

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, NormalizeIntensityd, ScaleIntensityRanged

from common.transforms import CropPadInPlaned, SafeSpacingd, SliceAxisd


def volume(shape, spacing=(1.0, 1.0, 1.0), codes="RAS"):
    """Volume of distinct values, stored in the given orientation."""
    canonical = nib.Nifti1Image(np.zeros((1, 1, 1), np.float32), np.eye(4))
    to_codes = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(canonical.affine), nib.orientations.axcodes2ornt(codes)
    )
    affine = np.eye(4) @ nib.orientations.inv_ornt_aff(to_codes, shape)
    affine[:3, :3] = affine[:3, :3] @ np.diag(spacing)
    values = torch.arange(int(np.prod(shape)), dtype=torch.float32).reshape(1, *shape)
    return MetaTensor(values, affine=torch.as_tensor(affine))


@pytest.mark.parametrize(
    ("codes", "spacing", "shape", "expected_shape", "expected_codes"),
    [
        ("LAS", (1.2, 1.2, 7.7), (6, 5, 4), (6, 5, 4), "LAS"),
        ("PSL", (1.2, 1.2, 8.0), (6, 5, 4), (6, 5, 4), "PSL"),
        ("SRA", (7.7, 1.2, 1.2), (4, 6, 5), (6, 5, 4), "RAS"),
        ("RSA", (1.2, 7.7, 1.2), (6, 4, 5), (6, 5, 4), "RAS"),
        ("RAS", (2.0, 2.0, 2.0), (6, 5, 4), (6, 5, 4), "RAS"),
    ],
)
def test_largest_spacing_becomes_the_slice_axis(codes, spacing, shape, expected_shape, expected_codes):
    image = volume(shape, spacing, codes)
    transform = SliceAxisd("image")
    moved = transform({"image": image})["image"]
    assert tuple(moved.shape[1:]) == expected_shape
    assert "".join(nib.orientations.aff2axcodes(moved.affine.numpy())) == expected_codes
    back = transform.inverse({"image": moved})["image"]
    assert torch.equal(back.as_tensor(), image.as_tensor())
    torch.testing.assert_close(back.affine, image.affine)


def test_named_orientation_wins_over_spacing():
    moved = SliceAxisd("image", axcodes="RAS")({"image": volume((4, 6, 5), (7.7, 1, 1), "PSL")})["image"]
    assert nib.orientations.aff2axcodes(moved.affine.numpy()) == ("R", "A", "S")


def test_crop_and_pad_about_the_centre_index():
    """Size 304 keeps [24, 280); 200 lands at [28, 228); 255 at [1, 256)."""
    for size, source, target in [(304, (24, 280), (0, 256)), (200, (0, 200), (28, 228)), (255, (0, 255), (1, 256))]:
        image = volume((size, 256, 1)) + 10
        resized = CropPadInPlaned("image", (256, 256))({"image": image})["image"]
        assert resized.shape == (1, 256, 256, 1)
        expected = torch.full((256,), 10.0)
        expected[slice(*target)] = image[0, slice(*source), 0, 0].as_tensor()
        assert torch.equal(resized[0, :, 0, 0].as_tensor(), expected), size


def test_images_are_padded_with_their_minimum_and_labels_with_zero():
    data = {"image": volume((4, 4, 2)) - 7, "label": volume((4, 4, 2)) + 1}
    resized = CropPadInPlaned(["image", "label"], (6, 6))(data)
    assert resized["image"][0, 0, 0, 0] == -7
    assert resized["label"][0, 0, 0, 0] == 0


def test_geometry_chain_inverts_to_the_stored_grid():
    image = volume((20, 31, 6), (1.5, 1.5, 5.0), "LPS")
    chain = Compose(
        [SliceAxisd("image", "RAS"), SafeSpacingd("image", pixdim=(1.5, 1.5, 5.0)), CropPadInPlaned("image", (24, 24))]
    )
    back = chain.inverse(chain({"image": image}))["image"]
    assert back.shape == image.shape
    torch.testing.assert_close(back.affine, image.affine)
    kept = slice(4, 27)  # the crop's rows; the rest comes back as zeros
    torch.testing.assert_close(back[0, :, kept].as_tensor(), image[0, :, kept].as_tensor())
    assert back[0, :, :3].abs().sum() == 0


def test_spacing_ignores_other_items_of_similar_name():
    image = volume((4, 4, 2), (2.0, 2.0, 5.0))
    image.meta["filename_or_obj"] = "scan.nii.gz"
    resampled = SafeSpacingd("image", pixdim=(1.0, 1.0, 5.0))({"image": image, "image_path": "scan.nii.gz"})
    assert resampled["image_path"] == "scan.nii.gz"
    assert resampled["image"].shape == (1, 7, 7, 2)


def test_normalisation_is_per_volume_zscore_with_population_deviation():
    values = torch.tensor([1.0, 2.0, 3.0, 6.0]).reshape(1, 4, 1, 1)
    scaled = NormalizeIntensityd("image")({"image": values})["image"].flatten()
    expected = torch.tensor([-1.0690449676, -0.5345224838, 0.0, 1.6035674515])
    torch.testing.assert_close(scaled, expected, atol=1e-5, rtol=0)


def test_ct_window():
    values = torch.tensor([-1000.0, -125.0, 0.0, 75.0, 275.0, 900.0]).reshape(1, 6, 1, 1)
    window = ScaleIntensityRanged("image", a_min=-125, a_max=275, b_min=0, b_max=255, clip=True)
    scaled = window({"image": values})["image"].flatten()
    torch.testing.assert_close(scaled, torch.tensor([0.0, 0.0, 79.6875, 127.5, 255.0, 255.0]), atol=1e-4, rtol=0)
