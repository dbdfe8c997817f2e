"""Body masks and foreground ids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.supervoxels import foreground_mask, relabel_foreground

SLICE = np.zeros((6, 7))
SLICE[1:4, 1:4] = 50
SLICE[2, 2] = 3  # a hole
SLICE[0, 6] = 99  # a smaller component
SLICE[4, 4] = 12  # touches by its corner
SLICE[5, 0] = 10  # not above the threshold
BODY = np.zeros((6, 7), bool)
BODY[1:4, 1:4] = BODY[4, 4] = True


def test_threshold_largest_component_and_holes():
    mask = foreground_mask(SLICE[..., None], threshold=10)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask[..., 0], BODY)


def test_slices_are_independent_along_the_last_axis():
    volume = np.stack([np.zeros_like(SLICE), SLICE, np.rot90(SLICE, 2)], axis=2)
    expected = np.stack([np.zeros_like(BODY), BODY, np.rot90(BODY, 2)], axis=2)
    np.testing.assert_array_equal(foreground_mask(volume), expected)


@pytest.mark.parametrize(("threshold", "voxels"), [(9.9, 10), (12, 9), (50, 1), (99, 0)])
def test_threshold_is_strict(threshold, voxels):
    assert foreground_mask(SLICE[..., None], threshold).sum() == voxels


def test_relabel_keeps_every_superpixel():
    labels = np.array([[0, 0, 1], [2, 2, 1], [3, 3, 3]])
    mask = np.array([[1, 1, 1], [1, 1, 1], [0, 1, 1]], bool)
    ids = relabel_foreground(labels, mask)
    assert ids.dtype == np.int32
    assert ids.tolist() == [[1, 1, 2], [3, 3, 2], [0, 4, 4]]


@given(labels=arrays(np.int32, (3, 4, 2), elements=st.integers(0, 9)), mask=arrays(bool, (3, 4, 2)))
def test_relabel_is_a_renaming_without_gaps(labels, mask):
    ids = relabel_foreground(labels, mask)
    np.testing.assert_array_equal(ids == 0, ~mask)
    pairs = {(int(label), int(number)) for label, number in zip(labels[mask], ids[mask], strict=True)}
    old, new = [label for label, _ in pairs], sorted(number for _, number in pairs)
    assert len(set(old)) == len(pairs)
    assert new == list(range(1, len(pairs) + 1))
