"""Augmentation of volumes: voxels land where the matrices and the control points send them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.transforms import AffineGrid

from common.episodes import VolumeAugmentation
from common.episodes.augmentation import AugmentationParameters, gamma_transform
from common.episodes.volume_augmentation import cut

NOTHING = {"rotate": 0, "translate": (0, 0, 0), "shear": 0, "scale": (1, 1), "gamma": (1, 1)}
SIZE = (9, 9, 5)


def generators(seed=0):
    return torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)


def parameters_of(matrix):
    """Parameters of one volume whose voxels move by ``matrix``, counted from the centre."""
    inverse = torch.linalg.inv(torch.as_tensor(matrix, dtype=torch.float64)).float()[None]
    return AugmentationParameters(torch.ones(1), inverse, torch.empty(1, 3, 0, 0, 0))


def point(*place, size=SIZE):
    volume = torch.zeros(1, 1, *size)
    volume[(0, 0, *place)] = 1
    return volume


def test_zero_ranges_change_nothing():
    augmentation = VolumeAugmentation(**NOTHING)
    image, mask = torch.randn(2, 1, 12, 14, 6), (torch.rand(2, 1, 12, 14, 6) > 0.5).float()
    found, found_mask = augmentation.apply(image, mask, augmentation.sample(*generators(), (12, 14, 6), 2, 2))
    torch.testing.assert_close(found, image, atol=1e-4, rtol=0)
    assert torch.equal(found_mask, mask)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], (3, 6, 2)),  # 90 degrees about z: x goes to y
        ([[1, 0, 0, -2], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1]], (4, 6, 3)),
        ([[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], (2, 3, 2)),
    ],
)
def test_a_voxel_goes_where_the_matrix_sends_it(matrix, expected):
    image = point(6, 5, 2)
    found = VolumeAugmentation(**NOTHING).change_geometry(image, parameters_of(matrix))
    torch.testing.assert_close(found, point(*expected), atol=1e-5, rtol=0)


def test_largest_rotation_is_about_the_centre():
    """Drawn angles, one axis left: the axis of rotation stays."""
    augmentation = VolumeAugmentation(**{**NOTHING, "rotate": 5.0})
    matrix = augmentation.sample(*generators(), SIZE, geometries=500).inverse_matrix.double()
    torch.testing.assert_close(matrix[:, :3, :3] @ matrix[:, :3, :3].mT, torch.eye(3).double().expand(500, 3, 3))
    assert matrix[:, :3, 3].abs().max() < 1e-6
    # Intrinsic x, y, z: the angle about z is read from the first row.
    angle = torch.rad2deg(torch.atan2(-matrix[:, 0, 1], matrix[:, 0, 0]))
    assert -5.001 < angle.min() < -4.9 and 4.9 < angle.max() < 5.001


def test_ranges():
    drawn = VolumeAugmentation().sample(*generators(), SIZE, intensities=2000, geometries=2000)
    assert 0.5 <= drawn.intensity.min() < 0.51 and 1.49 < drawn.intensity.max() <= 1.5
    stretched = VolumeAugmentation(**{**NOTHING, "scale": (0.9, 1.2)}).sample(*generators(), SIZE, geometries=2000)
    scales = torch.diagonal(stretched.inverse_matrix[:, :3, :3], dim1=1, dim2=2)
    assert 0.9 <= scales.min() < 0.902 and 1.198 < scales.max() <= 1.2
    assert (scales[:, 0] - scales[:, 1]).abs().max() > 0.2, "one scale for each axis"
    shifts = VolumeAugmentation(**{**NOTHING, "translate": (5, 5, 1)}).sample(*generators(), SIZE, geometries=2000)
    np.testing.assert_allclose(shifts.inverse_matrix[:, :3, 3].abs().amax(0), [5, 5, 1], rtol=0.01)
    assert drawn.noise.numel() == 0


def test_the_matrix_is_that_of_monais_affine_grid():
    """The released ADNet code moves the sampling grid by MONAI's ``Rand3DElastic``."""
    augmentation = VolumeAugmentation(5.0, (5.0, 5.0, 1.0), 5.0, (0.9, 1.2))
    values = np.array([0.08, -0.05, 0.03, 0.06, -0.02, 0.04, 3.0, -2.0, 0.5, 1.1, 0.95, 1.18])
    grid = AffineGrid(*values.reshape(4, 3).tolist())(SIZE)[1]
    np.testing.assert_allclose(augmentation.matrix(values), grid, atol=1e-6)


def test_outside_is_reflected_and_masks_stay_masks():
    image = torch.arange(9.0).view(1, 1, 9, 1, 1).expand(1, 1, *SIZE)
    shift = torch.eye(4)
    shift[0, 3] = 3
    found, mask = VolumeAugmentation(**NOTHING).apply(image, point(1, 4, 2), parameters_of(shift))
    torch.testing.assert_close(found[0, 0, :, 4, 2], torch.tensor([2.0, 1, 0, 0, 1, 2, 3, 4, 5]), atol=1e-3, rtol=0)
    torch.testing.assert_close(mask, point(1, 4, 2) + point(4, 4, 2), atol=1e-5, rtol=0)
    drawn = VolumeAugmentation().sample(*generators(), SIZE)
    assert set(VolumeAugmentation().apply(image, point(4, 4, 2), drawn)[1].unique().tolist()) <= {0.0, 1.0}


def test_rows_and_gamma():
    augmentation = VolumeAugmentation(gamma=(1.4, 1.4))
    image, mask = torch.randn(2, 1, *SIZE), torch.ones(2, 1, *SIZE)
    drawn = augmentation.sample(*generators(), SIZE, intensities=1, geometries=0)
    found, found_mask = augmentation.apply(image, mask, drawn, torch.tensor([1]), torch.empty(0, dtype=torch.int64))
    assert torch.equal(found[0], image[0]) and torch.equal(found_mask, mask)
    assert torch.equal(found[1:], gamma_transform(image[1:], torch.tensor([1.4])))
    assert found[1].max() == pytest.approx(float(image[1].max()), abs=1e-4)


def test_windows_are_filled_from_the_volume_around_them():
    """What a shift brings in comes from outside of the window; only the volume's own border reflects."""
    volume = torch.randn(2, 1, 12, 11, 8)
    mask = (volume > 0).float()
    shift = torch.eye(4)
    shift[:3, 3] = torch.tensor([2.0, -1.0, 3.0])
    drawn = AugmentationParameters.cat([parameters_of(shift)] * 2)._replace(intensity=torch.tensor([0.7, 1.3]))
    augmentation, corner, size = VolumeAugmentation(), torch.tensor([[0, 3, 2], [5, 4, 4]]), (6, 5, 3)
    whole, whole_mask = augmentation.apply(volume, mask, drawn)
    found, found_mask = augmentation.apply(volume, mask, drawn, corner=corner, size=size)
    torch.testing.assert_close(found, cut(whole, corner, size), atol=1e-4, rtol=0)
    assert torch.equal(found_mask, cut(whole_mask, corner, size))
    unchanged = gamma_transform(volume, drawn.intensity)[1, :, 3:9, 5:10, 1:4]
    torch.testing.assert_close(found[1], unchanged, atol=1e-4, rtol=0)


def test_a_window_turns_about_its_own_centre():
    volume, corner, size = torch.randn(1, 1, 12, 11, 8), torch.tensor([[4, 2, 3]]), (5, 5, 3)
    quarter = parameters_of([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    found = VolumeAugmentation(**NOTHING).change_geometry(volume, quarter, corner, size)
    torch.testing.assert_close(found, torch.rot90(volume[..., 4:9, 2:7, 3:6], 1, (2, 3)), atol=1e-4, rtol=0)


def test_windows_that_stay_keep_their_bits():
    volume, corner, size = torch.randn(2, 1, 9, 8, 7), torch.tensor([[0, 1, 2], [3, 2, 4]]), (4, 5, 3)
    none = torch.empty(0, dtype=torch.int64)
    drawn = VolumeAugmentation().sample(*generators(), size, intensities=0, geometries=0)
    found, _ = VolumeAugmentation().apply(volume, volume, drawn, none, none, corner=corner, size=size)
    assert torch.equal(found[0], volume[0, :, :4, 1:6, 2:5]) and torch.equal(found[1], volume[1, :, 3:7, 2:7, 4:])


def test_gamma_takes_the_range_of_the_volume():
    volume, corner, size = torch.randn(1, 1, 9, 8, 7), torch.tensor([[0, 1, 2]]), (4, 5, 3)
    none = torch.empty(0, dtype=torch.int64)
    drawn = parameters_of(np.eye(4))._replace(intensity=torch.tensor([1.4]))
    found, _ = VolumeAugmentation().apply(volume, volume, drawn, None, none, corner=corner, size=size)
    assert torch.equal(found, cut(gamma_transform(volume, drawn.intensity), corner, size))
