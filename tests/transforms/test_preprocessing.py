"""One preprocessing: training, inference and support see the same numbers, and inference loses nothing."""

import numpy as np
import pytest
import torch
from monai.transforms import Compose, NormalizeIntensity

from common.transforms import ScanPreprocessing
from tests.e2e.tiny import save, scan

SETTINGS = {"spacing": [2.0, 2.0, 6.0], "image_size": 48}


@pytest.fixture
def files(tmp_path):
    """A scan of 64 x 60 x 6 voxels of 2 x 2 x 6 mm, larger than the network's slices."""
    image, label = scan(1)
    return {"image": save(tmp_path / "a.nii.gz", image), "label": save(tmp_path / "b.nii.gz", label)}


def prepared(files, **settings):
    return Compose(ScanPreprocessing(**{**SETTINGS, **settings}).steps)(dict(files))


def centre(volume, size):
    x, y = (n // 2 - s // 2 for n, s in zip(volume.shape[1:3], size, strict=True))
    return volume.as_tensor()[:, x : x + size[0], y : y + size[1]]


def test_normalisation_is_monais(files):
    steps = ScanPreprocessing(**SETTINGS)
    cropped = Compose(steps.geometry)(dict(files))["image"]
    assert torch.equal(
        steps.normalise({"image": cropped})["image"].as_tensor(), NormalizeIntensity()(cropped).as_tensor()
    )


@pytest.mark.parametrize("window", [None, [0, 500]])
@pytest.mark.parametrize("intensities", [{}, {"intensity_mean": 90.0, "intensity_std": 40.0}])
def test_whole_slices_hold_what_training_sees(files, window, intensities):
    settings = {"intensity_window": window, **intensities}
    trained, whole = prepared(files, **settings), prepared(files, **settings, whole_field=True)
    assert trained["image"].shape == (1, 48, 48, 6)
    assert whole["image"].shape == (1, 64, 64, 6)
    for key in ("image", "label"):
        assert torch.equal(centre(whole[key], (48, 48)), trained[key].as_tensor())


def test_small_slices_are_the_same_in_training_and_inference(files):
    trained, whole = (prepared(files, image_size=80, whole_field=flag) for flag in (False, True))
    for key in ("image", "label"):
        assert torch.equal(whole[key].as_tensor(), trained[key].as_tensor())


def test_volumes_keep_the_scale_of_training(files):
    trained, whole = (prepared(files, volume_size=[24, 24, 8], whole_field=flag) for flag in (False, True))
    assert trained["image"].shape == (1, 24, 24, 8)
    assert whole["image"].shape == (1, 32, 32, 8)
    torch.testing.assert_close(
        centre(whole["image"], (20, 20)), trained["image"].as_tensor()[:, 2:-2, 2:-2], atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("volume_size", [None, [24, 24, 8]])
def test_inference_is_undone(files, volume_size):
    steps = Compose(ScanPreprocessing(**SETTINGS, volume_size=volume_size, whole_field=True).steps)
    item = steps(dict(files))
    assert steps.inverse(item)["label"].shape == (1, 64, 60, 6)


@pytest.mark.parametrize("slices", [True, False])
def test_a_support_on_the_networks_grid_is_seen_as_a_query(files, slices):
    steps = ScanPreprocessing(**SETTINGS, whole_field=True)
    query, support = Compose(steps.steps)(dict(files)), Compose(steps.support_steps(slices))(dict(files))
    for key in ("image", "label"):
        assert torch.equal(support[key].as_tensor().float(), query[key].as_tensor().float())
    assert "drawn_label" not in support


def test_a_supports_slices_are_not_resampled_across(tmp_path):
    image, label = scan(1, (64, 60, 25))
    affine = np.diag([-2.0, 2.0, 1.5, 1.0])
    files = {"image": save(tmp_path / "a.nii.gz", image, affine), "label": save(tmp_path / "b.nii.gz", label, affine)}
    steps = ScanPreprocessing(**SETTINGS)
    assert Compose(steps.support_steps(slices=True))(dict(files))["image"].shape[-1] == 25
    assert Compose(steps.support_steps(slices=False))(dict(files))["image"].shape[-1] == 7


def drawn_plane(tmp_path, volume, distance, index, **settings):
    """The one drawn slice, as the network sees it."""
    label = np.zeros(volume.shape, np.uint8)
    label[20:30, 20:30, index] = 1
    affine = np.diag([-2.0, 2.0, distance, 1.0])
    files = {"image": save(tmp_path / "a.nii.gz", volume, affine), "label": save(tmp_path / "b.nii.gz", label, affine)}
    support = Compose(ScanPreprocessing(**SETTINGS, **settings).support_steps(slices=True))(dict(files))
    assert set(support) == {"image", "label"}
    return support["image"].as_tensor()[..., support["label"].as_tensor().flatten(0, 2).any(0)]


@pytest.mark.parametrize("settings", [{}, {"whole_field": True}, {"intensity_window": [100, 700]}])
@pytest.mark.parametrize("thinner", [2, 3, 6])
def test_a_drawn_slice_looks_the_same_among_thinner_slices(tmp_path, thinner, settings):
    thick = np.random.default_rng(0).gamma(2.0, 100.0, (64, 60, 7)).astype(np.float32)
    thick[:, :, :2] *= 0.1  # slices at the ends count as much as others
    expected = drawn_plane(tmp_path, thick, 6.0, 4, **settings)
    for place in range(thinner):
        thin = np.repeat(thick, thinner, axis=2)
        plane = drawn_plane(tmp_path, thin, 6.0 / thinner, 4 * thinner + place, **settings)
        assert torch.equal(plane, expected)


def scan_of(intensities, path, air=0):
    """A body of 20 x 20 pixels in air, its slices of the given intensities."""
    image = np.full((48, 48, len(intensities)), air, np.float32)
    for number, value in enumerate(intensities):
        image[14:34, 14:34, number] = value
    return save(path, image)


def body_of(path, **settings):
    image = prepared({"image": path}, normalisation="body_median", upper_percentile=100, **settings)["image"]
    return image.as_tensor()[0, 20:28, 20:28]


def test_body_median_puts_air_at_minus_one_and_the_middle_tissue_at_zero(tmp_path):
    path = scan_of([100, 200, 300, 300, 400], tmp_path / "a.nii.gz")
    image = prepared({"image": path}, normalisation="body_median", upper_percentile=100)["image"].as_tensor()[0]
    assert image[0, 0].tolist() == [-1] * 5
    torch.testing.assert_close(image[24, 24], torch.tensor([100.0, 200, 300, 300, 400]) / 300 - 1)


def test_a_bright_fluid_moves_the_z_score_but_not_the_body_median(tmp_path):
    plain = scan_of([100, 200, 300, 300, 400], tmp_path / "a.nii.gz")
    bright = scan_of([100, 200, 300, 300, 5000], tmp_path / "b.nii.gz")
    torch.testing.assert_close(body_of(plain)[..., :4], body_of(bright)[..., :4])
    scores = [prepared({"image": path}, upper_percentile=100)["image"][0, 24, 24, :4] for path in (plain, bright)]
    assert (scores[0] - scores[1]).abs().max() > 1


def test_body_median_windows_ct_by_itself(tmp_path):
    path = scan_of([-1000, -125, 75, 275, 1500], tmp_path / "ct.nii.gz", air=-1000)
    windowed = body_of(path)[0, 0]
    # 0, 0, 127.5, 255 and 255 of 255; air is below a twentieth, so the body's median is 255.
    torch.testing.assert_close(windowed, torch.tensor([-1.0, -1.0, -0.5, 0.0, 0.0]))


def test_given_mean_and_deviation_go_before_the_body_median(tmp_path):
    path = scan_of([100, 200, 300, 300, 400], tmp_path / "a.nii.gz")
    given = body_of(path, intensity_mean=100.0, intensity_std=50.0)[0, 0]
    torch.testing.assert_close(given, torch.tensor([0.0, 2, 4, 4, 6]))
