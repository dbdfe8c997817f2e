"""Supervoxelsd and Superpixelsd: geometry, axes, ids, messages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.segmentation import felzenszwalb

from common.errors import InputError
from common.supervoxels import Superpixelsd, Supervoxelsd, foreground_mask
from common.supervoxels.graph import felzenszwalb_3d
from common.supervoxels.superpixels import superpixels_2d

AFFINE = torch.tensor([[-1.5, 0, 0, 10], [0, 2.0, 0, 20], [0, 0, 7.0, 30], [0, 0, 0, 1]], dtype=torch.float64)


@pytest.fixture
def scan():
    """A bright body with two organs in noisy air, whole numbers, ``(1, 24, 20, 5)``."""
    generator = np.random.default_rng(0)
    volume = generator.integers(0, 12, (24, 20, 5)).astype(np.float32)
    volume[3:21, 2:18] += 300
    volume[6:11, 5:12, 1:4] += 150
    volume[14:18, 6:14, 1:5] += 250
    return MetaTensor(torch.from_numpy(volume)[None], affine=AFFINE, meta={"filename_or_obj": "folder/scan.nii.gz"})


def test_supervoxels_follow_organs_and_geometry(scan):
    item = {"image": scan, "other": 1}
    result = Supervoxelsd(min_size=60)(item)
    supervoxels = result["supervoxels"]
    assert isinstance(supervoxels, MetaTensor)
    assert (supervoxels.dtype, supervoxels.shape) == (torch.int32, scan.shape)
    assert torch.equal(supervoxels.affine, scan.affine)
    assert supervoxels.meta["filename_or_obj"] == "folder/scan.nii.gz"
    assert result["image"] is scan
    assert set(item) == {"image", "other"}
    ids = supervoxels[0].numpy()
    np.testing.assert_array_equal(np.unique(ids), np.arange(ids.max() + 1))
    assert (ids[:3] == 0).all()
    for organ in (np.s_[6:11, 5:12, 1:4], np.s_[14:18, 6:14, 1:5]):
        assert len(np.unique(ids[organ])) == 1
        assert (ids == ids[organ][0, 0, 0]).sum() == ids[organ].size


def test_supervoxels_are_those_of_the_graph_on_the_rescaled_volume(scan):
    volume = scan[0].numpy().astype(np.float64)
    volume = 255 * (volume - volume.min()) / np.ptp(volume)
    labels = felzenszwalb_3d(volume.transpose(2, 1, 0), 9.0, 1.2, 40, (7.0, 2.0, 1.5)).transpose(2, 1, 0)
    mask = foreground_mask(volume, 12.0)
    ids = Supervoxelsd(min_size=40, scale=9.0, sigma=1.2, foreground_threshold=12.0)({"image": scan})["supervoxels"][0]
    np.testing.assert_array_equal(ids.numpy() == 0, ~mask)
    _, expected = np.unique(labels[mask], return_inverse=True)
    np.testing.assert_array_equal(ids.numpy()[mask], expected + 1)


def test_intensity_scale_and_noise_in_the_affine_do_not_matter(scan):
    expected = Supervoxelsd(min_size=60)({"image": scan})["supervoxels"]
    noisy = MetaTensor(scan.as_tensor() * 4, affine=AFFINE + 1e-7 * AFFINE.sign())
    assert torch.equal(Supervoxelsd(min_size=60)({"image": noisy})["supervoxels"].as_tensor(), expected.as_tensor())


def test_slic(scan):
    transform = Supervoxelsd(output_key="slic", method="slic", n_segments=30)
    ids = transform({"image": scan})["slic"]
    mask = Supervoxelsd(min_size=60)({"image": scan})["supervoxels"] > 0
    assert torch.equal(ids > 0, mask)
    assert 5 < ids.max() < 60
    assert torch.equal(torch.unique(ids.as_tensor()), torch.arange(int(ids.max()) + 1, dtype=torch.int32))
    fewer = Supervoxelsd(method="slic", n_segments=4)({"image": scan})["supervoxels"]
    assert fewer.max() < ids.max()


def test_superpixels_partition_raw_intensities_slice_by_slice(scan):
    transform = Superpixelsd(min_size=15, foreground_threshold=50.0)
    ids = transform({"image": scan})["superpixels"]
    assert (ids.dtype, ids.shape) == (torch.int32, scan.shape)
    assert torch.equal(ids.affine, scan.affine)
    ids = ids[0].numpy()
    np.testing.assert_array_equal(np.unique(ids), np.arange(ids.max() + 1))
    seen = [set(np.unique(ids[..., index])) - {0} for index in range(5)]
    assert sum(map(len, seen)) == len(set.union(*seen)) == ids.max()
    assert ids[4, 3, 0] != ids[15, 8, 2] != ids[8, 8, 2]


def test_superpixels_take_floats_as_they_are():
    volume = np.random.default_rng(4).integers(0, 900, (30, 26, 2)).astype(np.int16)
    labels = superpixels_2d(volume, min_size=20)
    first = felzenszwalb(volume[..., 0].astype(float), scale=1, sigma=1, min_size=20, channel_axis=None)
    np.testing.assert_array_equal(labels[..., 0], first)
    assert labels[..., 1].min() == first.max() + 1
    assert min(np.bincount(labels.ravel())) >= 20


def test_several_images_and_plain_tensors(scan):
    transform = Supervoxelsd(keys=["a", "b"], output_key=["sa", "sb"], min_size=60)
    result = transform({"a": scan, "b": scan.as_tensor() + 5})
    assert result["sa"].max() > 1
    assert torch.equal(result["sb"].affine, torch.eye(4, dtype=torch.float64))
    unit = MetaTensor(scan.as_tensor(), affine=torch.eye(4))
    assert torch.equal(result["sb"].as_tensor(), Supervoxelsd(min_size=60)({"image": unit})["supervoxels"].as_tensor())


@pytest.mark.parametrize("transform", [Supervoxelsd(), Superpixelsd(foreground_threshold=9e9)])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda image: image * float("nan"), "replace NaN and infinity"),
        (lambda image: image[0], r"\(1, X, Y, Z\), got \(24, 20, 5\)"),
        (lambda image: image.repeat(2, 1, 1, 1), r"got \(2, 24, 20, 5\)"),
    ],
)
def test_unusable_images_are_named(scan, transform, change, message):
    with pytest.raises(InputError, match=r"^folder/scan\.nii\.gz: .*" + message):
        transform({"image": change(scan)})


def test_images_without_foreground_are_named(scan):
    with pytest.raises(InputError, match=r"scan\.nii\.gz: every voxel has the value 7; leave"):
        Supervoxelsd()({"image": scan * 0 + 7})
    with pytest.raises(InputError, match=r"scan\.nii\.gz: no voxel above foreground_threshold 255 .*greatest is 255"):
        Supervoxelsd(foreground_threshold=255)({"image": scan})
    with pytest.raises(InputError, match=r"scan\.nii\.gz: no voxel above foreground_threshold 1000 in the image's"):
        Superpixelsd(foreground_threshold=1000)({"image": scan})


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method felzenszwalb or slic, got watershed"):
        Supervoxelsd(method="watershed")


def test_cache_keys_see_the_algorithm():
    assert Supervoxelsd.algorithm_version == Superpixelsd.algorithm_version == 1


@pytest.mark.slow  # a fresh interpreter
def test_numba_is_imported_only_when_needed(run_python):
    code = "import sys, common.supervoxels; assert 'numba' not in sys.modules, 'numba was imported'"
    run_python("-c", code)
