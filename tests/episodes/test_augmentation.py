"""Augmentation: published numbers, explicit matrices, and pixels that land where they must."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d, map_coordinates

from common.episodes.augmentation import AugmentationParameters, EpisodeAugmentation, gamma_transform
from common.episodes.warping import affine_matrix, elastic_displacement, warp


def matrix_of(rotation=0.0, translation=(0.0, 0.0), shear=0.0, scale=1.0, size=(256, 256)):
    return torch.from_numpy(
        affine_matrix(*(np.array([value]) for value in (rotation, translation, shear, scale)), size)
    )[0]


def generators(seed=0):
    return torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)


def test_gamma_golden():
    image = torch.tensor([0.0, 1.0, 2.0, 4.0]).view(1, 1, 1, 4).repeat(3, 1, 1, 1)
    expected = [
        [0.0063245632, 2.0000125, 2.8284377313, 4.00001],
        [1e-05, 1.00001, 2.00001, 4.00001],
        [1.58e-08, 0.500006875, 1.4142224012, 4.00001],
    ]
    found = gamma_transform(image, torch.tensor([0.5, 1.0, 1.5]))
    torch.testing.assert_close(found.view(3, 4), torch.tensor(expected), atol=1e-5, rtol=0)


def test_gamma_takes_the_range_of_each_slice():
    image = torch.stack([torch.linspace(-3, 5, 12), torch.linspace(100, 101, 12)]).view(2, 1, 3, 4)
    found = gamma_transform(image, torch.tensor([0.6, 1.4]))
    for row, gamma in enumerate((0.6, 1.4)):
        torch.testing.assert_close(found[row : row + 1], gamma_transform(image[row : row + 1], torch.tensor([gamma])))
    torch.testing.assert_close(found.amax((1, 2, 3)), torch.tensor([5.0, 101.0]), atol=1e-4, rtol=0)


def test_affine_is_the_product_scale_shear_translate_rotate():
    angle, slope = math.radians(4.0), math.radians(-3.0)
    centre = np.array([[1, 0, 128], [0, 1, 128], [0, 0, 1]])
    back = np.array([[1, 0, -128], [0, 1, -128], [0, 0, 1]])
    rotate = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    shear = np.array([[1, -math.sin(slope), 0], [0, math.cos(slope), 0], [0, 0, 1]])
    translate = np.array([[1, 0, 2.5], [0, 1, -4], [0, 0, 1]])
    scale = np.diag([1.1, 1.1, 1])
    expected = (centre @ scale @ back) @ shear @ translate @ (centre @ rotate @ back)
    np.testing.assert_allclose(matrix_of(4.0, (2.5, -4.0), -3.0, 1.1), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "point", "expected"),
    [
        ({"rotation": 90.0}, (138, 128), (128, 138)),
        ({"rotation": 90.0, "size": (100, 200)}, (110, 50), (100, 60)),
        ({"translation": (3.0, -2.0)}, (10, 20), (13, 18)),
        ({"shear": 30.0}, (0, 0), (0, 0)),
        ({"shear": 30.0}, (10, 20), (0, 20 * math.cos(math.pi / 6))),
        ({"scale": 1.2}, (128, 128), (128, 128)),
        ({"scale": 1.2}, (138, 118), (140, 116)),
    ],
)
def test_affine_moves_points(options, point, expected):
    found = matrix_of(**options) @ torch.tensor([*point, 1.0], dtype=torch.float64)
    np.testing.assert_allclose(found[:2], expected, atol=1e-9)


def test_warp_takes_the_matrix_forward():
    """A pixel moves to where the matrix sends it: out(x) = in(inverse(x))."""
    image = torch.zeros(1, 1, 20, 30)
    image[0, 0, 6, 9] = 1.0
    matrix = matrix_of(translation=(4.0, 3.0), size=(20, 30))
    found = warp(image, torch.zeros(1, 2, 20, 30), torch.linalg.inv(matrix)[None].float())
    expected = torch.zeros_like(image)
    expected[0, 0, 9, 13] = 1.0
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_warp_agrees_with_scipy():
    generator = torch.Generator().manual_seed(3)
    image = torch.randn(2, 1, 24, 31, generator=generator)
    displacement = torch.randn(2, 2, 24, 31, generator=generator)
    matrices = [matrix_of(4.0, (2.2, -1.3), 3.0, 0.9, (24, 31)), matrix_of(-5.0, (0.4, 1.0), -2.0, 1.2, (24, 31))]
    inverse = torch.linalg.inv(torch.stack(matrices))
    found = warp(image, displacement, inverse.float())
    rows, columns = np.mgrid[:24, :31]
    for number in range(2):
        x = np.clip(columns + displacement[number, 0].numpy(), 0, 30)
        y = np.clip(rows + displacement[number, 1].numpy(), 0, 23)
        places = np.einsum("ij,jhw->ihw", inverse[number].numpy(), np.stack([x, y, np.ones_like(x)]))
        expected = map_coordinates(
            np.pad(image[number, 0].numpy(), 1), [places[1] + 1, places[0] + 1], order=1, mode="constant"
        )
        np.testing.assert_allclose(found[number, 0], expected, atol=2e-4)


def test_outside_of_the_image_is_zero():
    matrix = matrix_of(translation=(5.0, 0.0), size=(16, 16))
    found = warp(torch.full((1, 1, 16, 16), 7.0), torch.zeros(1, 2, 16, 16), torch.linalg.inv(matrix)[None].float())
    assert found[..., :5].abs().max() == 0
    torch.testing.assert_close(found[..., 5:], torch.full((1, 1, 16, 11), 7.0), atol=1e-3, rtol=0)


def test_elastic_reaches_the_published_strength():
    noise = torch.rand(8, 2, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1
    root_mean_square = elastic_displacement(noise).square().mean((0, 2, 3)).sqrt()
    np.testing.assert_allclose(root_mean_square, 0.36, atol=0.01)


def test_elastic_is_a_gaussian_of_21_taps():
    noise = torch.rand(1, 2, 30, 26, generator=torch.Generator().manual_seed(2)) * 2 - 1
    taps = np.exp(-0.5 * (np.arange(-10, 11) / 5) ** 2)
    taps /= taps.sum()
    expected = 10 * correlate1d(correlate1d(noise.numpy(), taps, 2, mode="mirror"), taps, 3, mode="mirror")
    np.testing.assert_allclose(elastic_displacement(noise), expected, atol=1e-5)


def test_samples_fill_the_published_ranges():
    augmentation = EpisodeAugmentation()
    drawn = augmentation.sample(*generators(), (12, 12), intensities=4000, geometries=4000)
    assert drawn.intensity.min() >= 0.5 and drawn.intensity.max() <= 1.5
    np.testing.assert_allclose([drawn.intensity.mean(), drawn.intensity.std()], [1.0, 1 / math.sqrt(12)], atol=0.02)
    # The determinant is scale ** 2 * cos(shear).
    scale = (1 / torch.linalg.det(drawn.inverse_matrix.double())).sqrt()
    assert 0.9 * math.sqrt(math.cos(math.radians(5))) <= scale.min() < 0.902 and 1.198 < scale.max() <= 1.2
    np.testing.assert_allclose(scale.mean(), 1.05, atol=0.01)
    assert drawn.noise.min() >= -1 and drawn.noise.max() <= 1
    assert drawn.noise.shape == (4000, 2, 12, 12)
    np.testing.assert_allclose([drawn.noise.mean(), drawn.noise.var()], [0, 1 / 3], atol=0.01)
    values = drawn.noise.view(-1, 12).numpy()
    np.testing.assert_allclose(np.corrcoef(values, rowvar=False), np.eye(12), atol=0.02)


@pytest.mark.parametrize("name", ["rotate", "translate", "shear"])
def test_each_range_is_symmetric_and_used(name):
    nothing = {"rotate": 0.0, "translate": 0.0, "shear": 0.0, "scale": (1.0, 1.0)}
    drawn = EpisodeAugmentation(**{**nothing, name: 5.0}).sample(*generators(), (12, 12), geometries=2000)
    matrix = torch.linalg.inv(drawn.inverse_matrix.double())
    value = {
        "rotate": torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0])),
        "translate": matrix[:, 1, 2],
        "shear": torch.rad2deg(torch.asin(-matrix[:, 0, 1])),
    }[name]
    assert -5.001 < value.min() < -4.9 and 4.9 < value.max() < 5.001
    np.testing.assert_allclose([value.mean(), value.std()], [0, 10 / math.sqrt(12)], atol=0.25)


def test_zero_ranges_change_nothing():
    augmentation = EpisodeAugmentation(0, 0, 0, (1, 1), elastic_alpha=0, gamma=(1, 1))
    image = torch.randn(2, 1, 16, 18)
    mask = (torch.rand(2, 1, 16, 18) > 0.5).float()
    found, found_mask = augmentation.apply(image, mask, augmentation.sample(*generators(), (16, 18), 2, 2))
    torch.testing.assert_close(found, image, atol=1e-4, rtol=0)
    assert torch.equal(found_mask, mask)


def test_rows_limit_what_changes_and_the_input_stays():
    augmentation = EpisodeAugmentation()
    image, mask = torch.randn(4, 1, 32, 32), torch.ones(4, 1, 32, 32)
    before = image.clone()
    parameters = augmentation.sample(*generators(), (32, 32), intensities=2, geometries=1)
    found, found_mask = augmentation.apply(image, mask, parameters, torch.tensor([3, 1]), torch.tensor([2]))
    assert torch.equal(image, before)
    assert torch.equal(found[0], image[0]) and torch.equal(found_mask[[0, 1, 3]], mask[[0, 1, 3]])
    assert torch.equal(found[[3, 1]], gamma_transform(image[[3, 1]], parameters.intensity))
    alone, _ = augmentation.apply(image[2:3], mask[2:3], parameters._replace(intensity=torch.ones(1)))
    torch.testing.assert_close(found[2:3], alone, atol=1e-4, rtol=0)
    assert not torch.allclose(found[2], image[2], atol=0.1)


def test_gamma_comes_before_geometry():
    """The border that geometry brings in is exactly 0, whatever gamma makes of 0."""
    augmentation = EpisodeAugmentation(0, 0, 0, (0.5, 0.5), gamma=(2.0, 2.0))
    image = torch.rand(1, 1, 32, 32) + 1
    found, _ = augmentation.apply(image, torch.ones_like(image), augmentation.sample(*generators(), (32, 32)))
    assert found[0, 0, 0].abs().max() == 0 and found[0, 0, 16, 16] > 0.9


def test_gamma_after_geometry():
    """The same draws, with the power taken of what geometry made, its border included."""
    before, after = (EpisodeAugmentation(gamma=(2.0, 2.0), intensity_first=first) for first in (True, False))
    image, mask = torch.rand(1, 1, 32, 32) + 1, torch.ones(1, 1, 32, 32)
    drawn = before.sample(*generators(), (32, 32))
    moved, moved_mask = before.apply(image, mask, drawn, intensity_rows=torch.empty(0, dtype=torch.int64))
    found, found_mask = after.apply(image, mask, drawn)
    assert torch.equal(found, gamma_transform(moved, drawn.intensity)) and torch.equal(found_mask, moved_mask)
    assert not torch.allclose(found, before.apply(image, mask, drawn)[0], atol=0.01)


def test_rounding_is_what_one_hot_rounding_and_argmax_come_to():
    """Also outside of the image, where both channels of the warped one-hot mask are 0, and at exact halves."""
    augmentation = EpisodeAugmentation(rotate=30, translate=9)
    mask = (torch.rand(6, 1, 32, 32, generator=generators()[0]) > 0.5).float()
    drawn = augmentation.sample(*generators(), (32, 32), intensities=0, geometries=6)
    half = torch.eye(3).repeat(6, 1, 1)
    half[3:, 0, 2] = 0.5
    drawn = drawn._replace(inverse_matrix=torch.cat([drawn.inverse_matrix[:3], half[3:]]))
    one_hot = augmentation.change_geometry(torch.cat([1 - mask, mask], 1), drawn)
    _, found = augmentation.apply(mask, mask, drawn, intensity_rows=torch.empty(0, dtype=torch.int64))
    assert torch.equal(found[:, 0], one_hot.round().argmax(1).float())


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_batch_has_the_bits_of_its_slices(count, seed):
    augmentation = EpisodeAugmentation()
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(count, 1, 24, 21, generator=generator)
    mask = (torch.rand(count, 1, 24, 21, generator=generator) > 0.5).float()
    parameters = [augmentation.sample(*generators(seed + 7 * number), (24, 21)) for number in range(count)]
    batch = augmentation.apply(image, mask, AugmentationParameters.cat(parameters))
    for number in range(count):
        alone = augmentation.apply(image[number : number + 1], mask[number : number + 1], parameters[number])
        assert torch.equal(batch[0][number], alone[0][0]) and torch.equal(batch[1][number], alone[1][0])
    assert set(batch[1].unique().tolist()) <= {0.0, 1.0}
