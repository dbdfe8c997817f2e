"""3D ALPNet's changes of volumes: degrees and millimetres on any grid, TorchIO's published defaults."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.errors import InputError
from tests.bundles.networks import network_module
from tests.episodes.loaders import window_loader

augmentation_module = network_module("alpnet3d", "augmentation")
augmentation = augmentation_module.MillimetreAugmentation
SPACING = torch.tensor([[2.5, 2.5, 11.6]])


def drawn(augmentation, count=1, size=(9, 9, 5)):
    return augmentation.sample(torch.Generator().manual_seed(0), torch.Generator().manual_seed(1), size, count, count)


def test_ranges_are_torchios():
    found = drawn(augmentation(), 3000)
    logarithm = found.intensity.log()
    assert -0.3 <= logarithm.min() < -0.299 and 0.299 < logarithm.max() <= 0.3
    scales = torch.linalg.inv(found.inverse_matrix[:, :3, :3].double()).norm(dim=2)
    assert 0.9 - 1e-6 <= scales.min() < 0.901 and 1.099 < scales.max() <= 1.1 + 1e-6
    assert (scales[:, 0] - scales[:, 1]).abs().max() > 0.15, "one scale for each axis"
    turned = drawn(augmentation(scale=(1, 1)), 3000).inverse_matrix[:, :3, :3].double()
    torch.testing.assert_close(turned @ turned.mT, torch.eye(3).double().expand_as(turned), atol=1e-6, rtol=0)
    tilt = torch.rad2deg(torch.arccos(turned[:, 2, 2].clamp(max=1)))
    assert 5 < tilt.median() < 8.5 and tilt.max() < 14.2, "angles are those in space, whatever the voxels"
    assert found.inverse_matrix[:, :3, 3].abs().max() == 0, "no shift"


def test_a_turn_keeps_millimetres():
    """A quarter turn about x of voxels twice as high as wide: 4 voxels along y become 2 along z."""
    volume, quarter = torch.zeros(1, 1, 5, 13, 9), torch.eye(4)[None]
    volume[0, 0, 2, 10, 4] = 1
    quarter[0, 1:3, 1:3] = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    still = drawn(augmentation(), 1, volume.shape[2:])
    still = still._replace(inverse_matrix=quarter, noise=torch.zeros_like(still.noise))
    found = augmentation().change_geometry(volume, still, spacing=torch.tensor([[2.0, 2.0, 4.0]]))
    assert np.unravel_index(int(found.argmax()), found.shape[2:]) == (2, 6, 6) and found.max() > 0.99


def test_elastic_change_is_in_millimetres():
    """A ramp along each axis shows the displacement: 7.5 mm at most."""
    size, calm = (40, 40, 24), {"rotate": 0.0, "scale": (1, 1), "log_gamma": 0.0}
    for axis, step in enumerate(SPACING[0].tolist()):
        shape = [1] * 5
        shape[2 + axis] = size[axis]
        ramp = (torch.arange(size[axis]) * step).reshape(shape).expand(1, 1, *size).contiguous()
        parameters = drawn(augmentation(**calm), 1, size)
        moved = augmentation(**calm).change_geometry(ramp, parameters, spacing=SPACING) - ramp
        inner = moved[..., 1:-1, 1:-1, 1:-1].abs()
        assert 1.0 < inner.max() <= 7.5


def test_outer_control_points_are_fixed():
    """Equal ones are a shift in the middle, a sixth of it on an outer face, where only the third point reaches."""
    found = augmentation().displacement(torch.ones(1, 3, 7, 7, 7), (81, 81, 81))[0]
    assert found[:, 40, 40, 40].tolist() == pytest.approx([7.5] * 3, rel=1e-3)
    assert found[:, 0, 40, 40].tolist() == pytest.approx([7.5 / 6] * 3, rel=0.1)


def test_spline_weights():
    """Equal control points give that value, equally spaced ones a straight line."""
    weights = augmentation_module.spline_weights(24, 7).double()
    assert weights.shape == (24, 7)
    torch.testing.assert_close(weights.sum(1), torch.ones(24).double())
    places = (torch.arange(24).double() + 0.5) / 24 * 4
    torch.testing.assert_close(weights @ torch.arange(-1, 6).double(), places, atol=1e-6, rtol=0)


def test_outside_lies_the_smallest_value():
    volume = torch.rand(1, 1, 9, 9, 5) + 3
    shift = torch.eye(4)[None]
    shift[0, 0, 3] = -6.0
    still = drawn(augmentation(), 1)
    still = still._replace(inverse_matrix=shift, noise=torch.zeros_like(still.noise), intensity=torch.ones(1))
    found, mask = augmentation().apply(volume, torch.ones_like(volume), still, spacing=torch.tensor([[2.0, 2, 2]]))
    torch.testing.assert_close(found[:, :, :3], volume.min().expand(1, 1, 3, 9, 5))
    torch.testing.assert_close(found[:, :, 3:], volume[:, :, :-3], atol=1e-4, rtol=0)


def test_each_volume_has_the_spacing_of_its_item():
    """Two scans of one content and another size of voxels: turned alike in space, not in voxels."""
    content = torch.rand(1, 12, 12, 8)
    supervoxels = torch.ones(1, 12, 12, 8, dtype=torch.int16)
    items = [
        {"image": content, "supervoxels": supervoxels, "subject": str(height), "affine": np.diag([2.0, 2, height, 1])}
        for height in (2.0, 8.0)
    ]
    loaders = [window_loader([item], augmentation(), geometry_target="query") for item in items]
    flat, high = (loader.episodes([0])["image"] for loader in loaders)
    both = window_loader(items, augmentation(), geometry_target="query").episodes(range(6))["image"]
    alone = [loader.episodes(range(6))["image"] for loader in loaders]
    assert not torch.equal(flat, high)
    assert all(any(torch.equal(image, one[number]) for one in alone) for number, image in enumerate(both))
    assert (
        len({next(i for i, one in enumerate(alone) if torch.equal(image, one[n])) for n, image in enumerate(both)}) == 2
    )
    del items[0]["affine"]
    with pytest.raises(InputError, match="2.0: has no affine"):
        window_loader(items, augmentation()).episodes([0])
