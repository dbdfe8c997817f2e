"""Volume episodes: which windows are drawn, statelessness, and the random changes of volumes."""

import math

import numpy as np
import pytest
import torch

from common.episodes import VolumeAugmentation
from common.episodes.augmentation import AugmentationParameters
from common.errors import InputError
from tests.episodes.loaders import window_loader

STILL = {"intensity_target": "none", "geometry_target": "none"}
MOVED = {"intensity_target": "none", "geometry_target": "both"}


def box(subject, places, size=(12, 10, 8)):
    """Volume of distinct voxels with boxes of supervoxels, each given by its ranges."""
    supervoxels = torch.zeros(1, *size, dtype=torch.int32)
    for number, (x, y, z) in places.items():
        supervoxels[0, slice(*x), slice(*y), slice(*z)] = number
    image = torch.arange(math.prod(size)).float().reshape(1, *size) + 10_000 * subject
    return {"image": image, "supervoxels": supervoxels, "subject": str(subject)}


@pytest.fixture
def volumes():
    return [box(1, {1: ((0, 4), (0, 5), (0, 3)), 2: ((6, 12), (5, 10), (2, 8))}), box(2, {1: ((3, 8), (2, 7), (1, 6))})]


def origin(image):
    """Volume number and first voxel's place ``(x, y, z)`` of a window."""
    subject, voxel = divmod(int(image[0, 0, 0, 0]), 10_000)
    return subject, tuple(int(n) for n in np.unravel_index(voxel, (12, 10, 8)))


def test_whole_volume_is_support_and_query(volumes):
    batch = window_loader(volumes, **STILL).episodes(range(200))
    assert torch.equal(batch["image"], batch["support_image"][:, 0])
    assert torch.equal(batch["label"], batch["support_mask"][:, 0])
    sizes = batch["label"].flatten(1).sum(1)
    # A uniform volume, then a uniform supervoxel of it.
    for size, share in ((60, 0.25), (180, 0.25), (125, 0.5)):
        assert (sizes == size).float().mean() == pytest.approx(share, abs=0.1)


def test_only_the_query_changes(volumes):
    batch = window_loader(volumes, intensity_target="query", geometry_target="query").episodes(range(4))
    assert {origin(image) for image in batch["support_image"][:, 0]} <= {(1, (0, 0, 0)), (2, (0, 0, 0))}
    assert not any(torch.equal(q, s) for q, s in zip(batch["image"], batch["support_image"][:, 0], strict=True))
    assert set(batch["label"].unique().tolist()) == {0.0, 1.0}


def test_near_windows_hold_enough_of_the_supervoxel(volumes):
    loader = window_loader(volumes, patch_size=(7, 7, 3), pairing="near", min_voxels=40, max_shift=1, **STILL)
    batch = loader.episodes(range(300))
    shifts = set()
    for side in ("image", "support_image"):
        assert batch[side].shape[-3:] == (7, 7, 3)
    for query, label, support in zip(batch["image"], batch["label"], batch["support_image"][:, 0], strict=True):
        (subject, place), (same, other) = origin(query), origin(support)
        assert subject == same
        shifts.add(place[2] - other[2])
        box_of = volumes[subject - 1]["supervoxels"][0]
        number = int(box_of[tuple(slice(n, n + s) for n, s in zip(place, (7, 7, 3), strict=True))][label[0] > 0][0])
        held = box_of[:, :, place[2] : place[2] + 3] == number
        assert held.sum() >= 40
        assert label.sum() == held.sum()  # the patch lies so that it holds the supervoxel in-plane
    assert shifts == {-1, 0, 1}


def test_slices_past_the_end_are_zero(volumes):
    batch = window_loader(volumes, patch_size=(12, 10, 11), pairing="near", **STILL).episodes([0])
    assert batch["image"][..., :8].min() > 0
    for key in ("image", "label"):
        assert not batch[key][..., 8:].any()


def test_labelled_pairs_come_from_two_volumes(volumes):
    with pytest.warns(UserWarning, match=r"label values \[2\] are in one training scan only"):
        batch = window_loader(volumes, pairing="scans", **STILL).episodes(range(20))
    pairs = {
        (origin(query)[0], origin(support)[0])
        for query, support in zip(batch["image"], batch["support_image"][:, 0], strict=True)
    }
    assert pairs == {(1, 2), (2, 1)}
    assert set(batch["label"].flatten(1).sum(1).tolist()) == {60.0, 125.0}


def test_episodes_depend_on_seed_and_number_alone(volumes):
    options = {"patch_size": (7, 7, 3), "pairing": "near", "batch_size": 2, "episodes_per_epoch": 8}
    stream = [batch["image"] for batch in window_loader(volumes, **options)]
    together = torch.cat(stream)
    ranks = [window_loader(volumes, **options, rank=rank, world_size=2) for rank in (0, 1)]
    first, second = (torch.cat([batch["image"] for batch in loader]) for loader in ranks)
    assert torch.equal(together[0::2], first) and torch.equal(together[1::2], second)
    resumed = window_loader(volumes, **options)
    resumed.load_state_dict({"episode": torch.tensor(4)})
    assert torch.equal(next(iter(resumed))["image"], stream[2])
    other = window_loader(volumes, **options, seed=1).episodes([0])
    assert not torch.equal(other["image"], together[:1])


def test_setting_2_leaves_volumes_out(volumes):
    for volume, value in zip(volumes, (5, 0), strict=True):
        volume["label"] = torch.full((1, 12, 10, 8), value)
    with pytest.warns(UserWarning, match="1 of 2 volumes .* left out: 1"):
        batch = window_loader(volumes, excluded_labels=[5], **STILL).episodes(range(10))
    assert {origin(image)[0] for image in batch["image"]} == {2}
    with pytest.raises(InputError, match=r"excluded_labels are \[0, 5\]; lower min_voxels, exclude fewer labels"):
        window_loader(volumes, excluded_labels=[0, 5]).episodes([0])


def test_setting_2_shows_nothing_of_excluded_slices(volumes):
    """Not even where a shift would bring in the slice before a window."""
    for volume in volumes:
        volume["label"] = torch.zeros_like(volume["image"])
        volume["label"][0, 0, 0, 3] = 5
    augmentation = VolumeAugmentation(0, (0, 0, 1), 0, (1, 1), gamma=(1, 1))
    augmentation.high = augmentation.low  # the slice before comes in
    options = {"patch_size": (12, 10, 2), "pairing": "near", "excluded_labels": [5]}
    still = window_loader(volumes, **STILL, **options).episodes(range(60))["image"]
    moved = window_loader(volumes, augmentation, **MOVED, **options)
    starts = set()
    for before, after in zip(still, moved.episodes(range(60))["image"], strict=True):
        start = origin(before)[1][2]
        starts.add(start)
        assert (after[..., 0].mean() > 100) == (start != 4)
    assert starts == {0, 1, 4, 5, 6}


def test_refusals(volumes):
    with pytest.raises(InputError, match="pairing must be one of same, near, scans"):
        window_loader(volumes, pairing="adjacent")
    with pytest.raises(InputError, match="does not fit into slices"):
        window_loader(volumes, patch_size=(13, 4, 4)).episodes([0])
    with pytest.raises(InputError, match="min_voxels is 9999"):
        window_loader(volumes, min_voxels=9999).episodes([0])
    with pytest.raises(InputError, match="3: 5 slices, 1 has 8; resize"):
        window_loader([*volumes, box(3, {1: ((0, 3), (0, 3), (0, 3))}, (12, 10, 5))]).episodes([0])
    with pytest.raises(InputError, match=r"no label of 1 voxels or more is in two training scans \(found: \[1, 2\]\)"):
        window_loader(volumes[:1], pairing="scans").episodes([0])
    with pytest.raises(InputError, match=r"patch_size \[4, 4, 0\] does not fit"):
        window_loader(volumes, patch_size=(4, 4, 0)).episodes([0])


def test_label_values_that_had_to_be_renumbered_are_refused(volumes):
    """Renumbered, value 40000 of one scan would become value 1 and be taken for the organ 1 of the other."""
    volumes[0]["supervoxels"][volumes[0]["supervoxels"] == 2] = 40000
    with pytest.raises(InputError, match="^1: has label values above 32767"):
        window_loader(volumes, pairing="scans").episodes([0])


@pytest.mark.parametrize("options", [{}, {"patch_size": (7, 7, 3), "pairing": "near", "swap_probability": 1.0}])
@pytest.mark.parametrize("target", ["one", "both"])
def test_a_batch_has_the_bits_of_its_episodes(volumes, options, target):
    loader = window_loader(volumes, intensity_target=target, geometry_target=target, **options)
    batch = loader.episodes(range(5))
    for number in range(5):
        alone = loader.episodes([number])
        assert all(torch.equal(batch[key][number : number + 1], alone[key]) for key in batch)


def test_patches_move_within_their_volume(volumes):
    """A shift by one slice brings the next slice in, at the border of the volume the same; its mask moves along."""
    augmentation = VolumeAugmentation(0, (0, 0, 1), 0, (1, 1), gamma=(1, 1))
    augmentation.high = augmentation.low  # the slice before comes in
    options = {"patch_size": (7, 7, 3), "pairing": "near", "min_voxels": 20, "max_shift": 0}
    still = window_loader(volumes, **STILL, **options).episodes(range(20))
    moved = window_loader(volumes, augmentation, **MOVED, **options).episodes(range(20))
    for number in range(20):
        subject, (x, y, z) = origin(still["image"][number])
        source = volumes[subject - 1]["image"][0, x : x + 7, y : y + 7]
        expected = source[..., torch.arange(z - 1, z + 2).clamp(min=0)]
        torch.testing.assert_close(moved["image"][number, 0], expected, atol=0.05, rtol=0)
        torch.testing.assert_close(moved["label"][number, 0, ..., 1:], still["label"][number, 0, ..., :-1])


def changed(volume, mask=None, **ranges):
    """Apply the largest values of the ranges, which are made a point."""
    augmentation = VolumeAugmentation(**ranges)
    augmentation.low = augmentation.high
    generators = torch.Generator().manual_seed(0), torch.Generator().manual_seed(0)
    parameters = augmentation.sample(*generators, tuple(volume.shape[2:]), len(volume), len(volume))
    return augmentation.apply(volume, volume if mask is None else mask, parameters)


NOTHING = {"rotate": 0, "translate": (0, 0, 0), "shear": 0, "scale": (1, 1), "gamma": (1, 1)}


def test_nothing_drawn_changes_nothing():
    volume = torch.rand(2, 1, 6, 5, 4)
    image, mask = changed(volume, (volume > 0.5).float(), **NOTHING)
    torch.testing.assert_close(image, volume, atol=3e-5, rtol=0)
    assert torch.equal(mask, (volume > 0.5).float())


def test_quarter_turn_shift_and_scale():
    volume = torch.rand(1, 1, 5, 5, 3)
    # A positive angle about the last axis leads from the second axis to the first, seen from the result.
    turned = changed(volume, **{**NOTHING, "rotate": 90})[0]
    assert turned.shape == volume.shape
    shifted = changed(volume, **{**NOTHING, "translate": (1, 2, 0)})[0]
    torch.testing.assert_close(shifted[..., :-1, :-2, :], volume[..., 1:, 2:, :], atol=3e-5, rtol=0)
    large = changed(volume, **{**NOTHING, "scale": (0.5, 0.5)})[0]
    torch.testing.assert_close(large[..., 2, 2, 1], volume[..., 2, 2, 1], atol=3e-5, rtol=0)
    torch.testing.assert_close(large[..., 4, 2, 1], volume[..., 3, 2, 1], atol=3e-5, rtol=0)


def test_rotation_about_the_slice_axis():
    augmentation = VolumeAugmentation()
    matrix = torch.eye(4)
    matrix[:2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])  # the result's x looks at the image's y
    volume = torch.rand(1, 1, 5, 5, 3)
    parameters = AugmentationParameters(torch.ones(1), matrix[None], torch.zeros(1, 3, 2, 2, 2))
    turned = augmentation.change_geometry(volume, parameters)
    torch.testing.assert_close(turned, torch.rot90(volume, -1, (2, 3)), atol=3e-5, rtol=0)
