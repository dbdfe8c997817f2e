"""3D Felzenszwalb: the published partitions, the plain algorithm in ``oracle.py``, and what must hold for any image."""

from __future__ import annotations

import base64
import json
import lzma
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from common.supervoxels import graph
from common.supervoxels.graph import edge_multipliers, felzenszwalb_3d
from tests.supervoxels.oracle import felzenszwalb_oracle

GOLDEN = Path(__file__).parents[1] / "golden" / "felzenszwalb" / "partitions.json"
CASES = {case["name"]: case for case in json.loads(GOLDEN.read_text())["cases"]}
TINY = [
    [[1.084, 2.389, 65.363, 62.42], [4.098, 3.066, 63.213, 65.252], [1.476, 0.853, 61.972, 62.451]],
    [[3.944, 5.607, 61.301, 61.678], [1.19, 2.906, 61.616, 64.567], [5.52, 3.798, 60.128, 62.764]],
    [[3.362, 1.645, 62.394, 62.55], [0.992, 0.512, 62.853, 64.762], [151.698, 153.687, 60.226, 65.286]],
]


def unpack(text: str, dtype: str, shape: list[int]) -> NDArray:
    planes = np.frombuffer(lzma.decompress(base64.b85decode(text)), np.uint8)
    return planes.reshape(np.dtype(dtype).itemsize, -1).T.copy().view(dtype).reshape(shape)


@pytest.mark.parametrize("segment", [felzenszwalb_3d, felzenszwalb_oracle])
@pytest.mark.parametrize("name", CASES)
def test_published_partition(name, segment):
    case = CASES[name]
    image = unpack(case["image"], case["stored"], case["shape"])
    if (case["stored"], case["multiplier"]) != (case["dtype"], 1):
        image = image.astype(np.float64) * case["multiplier"] / case["divisor"]
    image = image.astype(case["dtype"])
    labels = segment(image, case["scale"], case["sigma"], case["min_size"], case["spacing"])
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, unpack(case["labels"], "uint8", case["shape"]))


@pytest.mark.parametrize(("min_size", "segments"), [(1, 2), (8, 2), (9, 1)])
def test_two_flat_regions(min_size, segments):
    image = np.broadcast_to([0.0, 0.0, 100.0, 100.0], (2, 2, 4))
    assert felzenszwalb_3d(image, min_size=min_size, spacing=(2, 1, 1)).max() + 1 == segments


def test_tiny_volume():
    labels = felzenszwalb_3d(np.array(TINY), min_size=4, spacing=(2, 1, 1))
    assert labels.tolist() == [
        [[0, 1, 2, 3], [1, 1, 3, 2], [0, 0, 4, 4]],
        [[1, 1, 4, 4], [0, 1, 4, 2], [1, 1, 4, 3]],
        [[1, 0, 3, 3], [0, 0, 3, 2], [3, 3, 4, 2]],
    ]


def test_slice_distance_matters():
    labels = felzenszwalb_3d(np.array(TINY), min_size=4, spacing=(1, 1, 1))
    assert labels.tolist() == [
        [[0, 1, 2, 3], [1, 1, 4, 2], [0, 0, 3, 4]],
        [[1, 1, 3, 3], [0, 1, 3, 2], [1, 1, 3, 4]],
        [[1, 0, 4, 4], [0, 0, 4, 2], [4, 4, 3, 2]],
    ]


@pytest.mark.parametrize(
    ("spacing", "z", "zx", "zxy"),
    [((7.7, 1.25, 1.25), 6.16, 4.4127995649, 3.648999863), ((7.99, 1.25, 1.25), 6.392, 4.574804, 3.779668)],
)
def test_edge_multipliers(spacing, z, zx, zxy):
    expected = [1, 1, 1, 1, zx, zxy, zx, zx, zxy, zx, zxy, zxy, z]
    np.testing.assert_allclose(edge_multipliers(spacing), expected, rtol=1e-6)


@pytest.mark.parametrize("segment", [felzenszwalb_3d, felzenszwalb_oracle])
@pytest.mark.parametrize("scale", [1.0, 3.0, 5.0, 7.0])
def test_threshold_is_rounded_to_single_precision(segment, scale):
    threshold = float(np.float32(scale / 255))
    assert threshold != scale / 255
    for cost, segments in [(np.nextafter(threshold, 0), 1), (threshold, 2)]:
        labels = segment(np.array([[[0.0, cost]]]), scale, 0.0, 1, (1.0, 1.0, 1.0))
        assert labels.max() + 1 == segments


@st.composite
def problems(draw):
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 7), st.integers(1, 9)))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([1, 2, 4, 50, None]))
    image = generator.uniform(0, 255, shape) if levels is None else generator.integers(0, levels, shape).astype(float)
    spacing = draw(st.sampled_from([(7.7, 1.25, 1.25), (1.0, 1.0, 1.0), (0.5, 1.0, 2.0), (3.0, 0.7, 0.9)]))
    scale = draw(st.sampled_from([0.0, 1e-42, 1.0, 300.0, 20000.0, 1e40]))
    return image, scale, draw(st.sampled_from([1, 2, 5, 20, 1000])), spacing


@settings(max_examples=200, deadline=None)
@given(problem=problems(), sample=st.sampled_from([1, 8, 64, graph._SAMPLE]))
def test_equals_plain_algorithm(problem, sample):
    image, scale, min_size, spacing = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_SAMPLE", sample)  # small: many batches, and batches that overflow
        labels = felzenszwalb_3d(image, scale, 0.0, min_size, spacing)
    np.testing.assert_array_equal(labels, felzenszwalb_oracle(image, scale, 0.0, min_size, spacing))


@pytest.mark.parametrize("scale", [0.0, 1.0, 3000.0])
def test_equals_plain_algorithm_over_many_batches(scale):
    generator = np.random.default_rng(1)
    image = ndimage.gaussian_filter(generator.normal(0, 900, (10, 60, 70)), 2).round() + generator.integers(0, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_SAMPLE", 2000)
        labels = felzenszwalb_3d(image, scale, 0.0, 150, (7.7, 1.25, 1.25))
    np.testing.assert_array_equal(labels, felzenszwalb_oracle(image, scale, 0.0, 150, (7.7, 1.25, 1.25)))
    assert labels.max() > 3


@settings(max_examples=50, deadline=None)
@given(problem=problems(), constant=st.integers(-1000, 1000))
def test_added_constant_does_not_move_supervoxels(problem, constant):
    image, scale, min_size, spacing = problem
    image = image.round()
    moved = felzenszwalb_3d(image + constant, scale, 0.0, min_size, spacing)
    np.testing.assert_array_equal(moved, felzenszwalb_3d(image, scale, 0.0, min_size, spacing))


@settings(max_examples=50, deadline=None)
@given(problem=problems())
def test_components_are_numbered_connected_and_large_enough(problem):
    image, scale, min_size, spacing = problem
    labels = felzenszwalb_3d(image, scale, 0.0, min_size, spacing)
    ids, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    np.testing.assert_array_equal(ids, np.arange(len(ids)))
    assert (np.diff(first) > 0).all()
    assert len(ids) == 1 or sizes.min() >= min_size
    for label in ids:
        assert ndimage.label(labels == label, np.ones((3, 3, 3)))[1] == 1


def test_same_bits_whatever_the_memory_layout():
    image = np.random.default_rng(2).integers(0, 30, (6, 20, 24)).astype(float)
    before = image.copy()
    labels = felzenszwalb_3d(image, min_size=30)
    np.testing.assert_array_equal(image, before)
    for view in (image, np.asfortranarray(image), np.repeat(image, 2, axis=2)[:, :, ::2]):
        np.testing.assert_array_equal(felzenszwalb_3d(view, min_size=30), labels)


def test_integers_are_rescaled_like_in_scikit_image():
    image = np.random.default_rng(3).integers(0, 256, (4, 8, 8)).astype(np.uint8)
    np.testing.assert_array_equal(
        felzenszwalb_3d(image, scale=5.0, min_size=4), felzenszwalb_3d(image / 255, scale=5.0, min_size=4)
    )


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        (np.zeros(5), {}, r"3D \(Z, Y, X\) or 2D \(Y, X\), got shape \(5,\)"),
        (np.zeros((0, 3, 3)), {}, r"1 to 330382099 voxels, got shape \(0, 3, 3\)"),
        (np.broadcast_to(0.0, (700, 700, 700)), {}, r"1 to 330382099 voxels, got shape \(700, 700, 700\)"),
        (np.full((2, 2, 2), np.nan), {}, "NaN or infinity in 8 voxels"),
        (np.array([[1.0, np.inf]]), {}, "NaN or infinity in 1 voxels"),
        (np.zeros((2, 2, 2)), {"scale": -1.0}, "got scale -1.0"),
        (np.zeros((2, 2, 2)), {"scale": np.inf}, "got scale inf"),
        (np.zeros((2, 2, 2)), {"sigma": -0.5}, "sigma -0.5"),
        (np.zeros((2, 2, 2)), {"min_size": 0}, "min_size must be 1 voxel or more, got 0"),
        (np.zeros((2, 2, 2)), {"spacing": (1.0, 0.0, 1.0)}, r"got \(1.0, 0.0, 1.0\)"),
        (np.zeros((2, 2, 2)), {"spacing": (1.0, 1.0)}, "three positive numbers"),
    ],
)
def test_bad_input_is_refused(image, options, message):
    with pytest.raises(ValueError, match=message):
        felzenszwalb_3d(image, **options)


@pytest.mark.real_data
def test_real_scan(real_data):
    import nibabel

    scan = nibabel.load(real_data / "chaos_t2" / "imagesTr" / "chaos_36.nii.gz").get_fdata().transpose(2, 1, 0)
    image = 255 * (scan - scan.min()) / np.ptp(scan)
    labels = felzenszwalb_3d(image, min_size=5000, spacing=(7.7, 1.25, 1.25))
    # Both implementations gave this partition of 44 supervoxels.
    assert (labels.max() + 1, zlib.crc32(labels.tobytes())) == (44, 2631715935)
    crop = image[16:28, 90:154, 60:124]
    np.testing.assert_array_equal(
        felzenszwalb_3d(crop, 1.0, 0.0, 300, (7.7, 1.25, 1.25)),
        felzenszwalb_oracle(crop, 1.0, 0.0, 300, (7.7, 1.25, 1.25)),
    )
