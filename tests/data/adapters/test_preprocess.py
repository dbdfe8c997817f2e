"""The published preprocessing by value."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from common.errors import InputError
from common.tools.challenges.preprocess import (
    as_stored,
    clip_top,
    prepare_mr,
    remap,
    resample,
    resample_label,
    resample_size,
    spacing_of,
)


def volume(array, spacing=(1.0, 1.0, 1.0), dtype=torch.float32):
    array = torch.as_tensor(np.asarray(array))
    return MetaTensor(
        array.reshape(1, *array.shape).to(dtype), affine=torch.diag(torch.tensor([*spacing, 1.0])).double()
    )


@pytest.mark.parametrize(
    ("size", "spacing", "new_spacing", "expected"),
    [
        (12, 11.9999961853, 7.99, 19),
        (12, 8.0000019073, 7.99, 13),
        (320, 1.1875, 1.25, 305),
        (256, 1.25, 1.25, 257),
        (448, 1.0, 1.75, 257),
    ],
)
def test_resample_size(size, spacing, new_spacing, expected):
    """Golden case of the released code; the same number of voxels comes out of ITK."""
    assert resample_size(size, spacing, new_spacing) == expected
    line = volume(np.ones((size, 2, 2)), (spacing, 1.0, 1.0))
    assert resample(line, (new_spacing, None, None)).shape == (1, expected, 2, 2)


def test_rounding_of_the_affine_costs_no_voxel():
    tilted = volume(np.ones((320, 2, 2)))
    angle = np.deg2rad(3.0)
    c, s = np.cos(angle) * 1.1875, np.sin(angle) * 1.1875
    tilted.affine = torch.tensor([[c, 0, -s, 0], [0, 1.1875, 0, 0], [s, 0, c, 0], [0, 0, 0, 1]], dtype=torch.float64)
    np.testing.assert_array_equal(spacing_of(tilted), 1.1875)
    assert resample(tilted, (1.25, None, None)).shape[1] == 305


def test_resample_is_linear_from_the_first_voxel_and_fills_the_border():
    line = volume(np.array([0.0, 10, 20, 30]).reshape(4, 1, 1) * np.ones((4, 2, 2)), (2.0, 1.0, 1.0))
    result = resample(line, (1.5, None, None), fill=-7)
    np.testing.assert_allclose(result[0, :, 0, 0], [0, 7.5, 15, 22.5, 30, -7])
    np.testing.assert_allclose(result.affine.numpy(), np.diag([1.5, 1, 1, 1]))


def test_whole_numbers_stay_whole():
    line = volume(np.array([0, 5, 11]).reshape(3, 1, 1) * np.ones((3, 2, 2)), dtype=torch.int16)
    result = resample(line, (0.5, None, None))
    assert result.dtype == torch.int16
    np.testing.assert_array_equal(result[0, :6, 0, 0], [0, 2, 5, 8, 11, 0])  # cut, not rounded


def test_each_label_is_a_mask_and_the_larger_one_wins():
    values = np.array([1, 1, 4, 4, 0]).reshape(5, 1, 1) * np.ones((5, 2, 2))
    result = resample_label(volume(values), (0.8, None, None))
    # At 1.6 voxels 1 has 0.4 and 4 has 0.6: no value between them appears.
    np.testing.assert_array_equal(result[0, :, 0, 0], [1, 1, 4, 4, 4, 0, 0])


def test_clip_top_truncates_whole_numbers():
    values = np.arange(1000).reshape(10, 10, 10)
    assert np.percentile(values, 99.5) == pytest.approx(994.005)
    clipped = clip_top(volume(values, dtype=torch.int16))
    np.testing.assert_array_equal(clipped[0], np.minimum(values, 994))
    assert float(clip_top(volume(values)).max()) == pytest.approx(994.005)


def test_as_stored():
    assert as_stored(volume(np.full((2, 2, 2), -1024.0))).dtype == torch.int16
    assert as_stored(volume(np.full((2, 2, 2), 0.5))).dtype == torch.float32
    assert as_stored(volume(np.full((2, 2, 2), 40000.0))).dtype == torch.float32


def test_prepared_scans_stay_as_they_are():
    values = np.random.default_rng(0).integers(0, 900, (256, 256, 3))
    image = volume(values, (1.25, 1.25, 7.7))
    label = volume(values > 800, (1.25, 1.25, 7.7))
    result = prepare_mr(image, label, (1.25, 1.25, 7.7))
    np.testing.assert_array_equal(result.image[0], values)
    np.testing.assert_array_equal(result.label[0], values > 800)
    assert prepare_mr(image, label, (1.25, 1.25, 7.99)).image.shape == (1, 256, 256, 3)


def test_remap_refuses_unknown_values():
    label = volume(np.array([0, 200, 500]).reshape(3, 1, 1))
    np.testing.assert_array_equal(remap(label, {200: 1, 500: 2}, "X").ravel(), [0, 1, 2])
    with pytest.raises(InputError, match="label value 500 found; X has 200"):
        remap(label, {200: 1}, "X")


def test_resampling_that_asks_for_too_much_is_refused_before():
    with pytest.raises(InputError, match="voxels after resampling"):
        resample(volume(np.ones((4, 5, 6)), (1e6, 1e6, 1.0)), (1.0, 1.0, None))
