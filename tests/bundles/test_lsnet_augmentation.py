"""LSNet's random gamma, contrast and brightness."""

import pytest
import torch

from common.episodes.augmentation import gamma_transform
from tests.bundles.networks import network_module

IntensityAugmentation = network_module("lsnet", "augmentation").IntensityAugmentation


def sample(augmentation, count, seed=3):
    return augmentation.sample(torch.Generator().manual_seed(seed), torch.Generator(), (8, 6), count)


def test_values_stay_in_their_ranges():
    gamma, contrast, brightness = sample(IntensityAugmentation(probability=1.0), 2000).intensity.unbind(1)
    for values, low, high in [(gamma, 0.8, 1.2), (contrast, 0.8, 1.2), (brightness, -0.2, 0.2)]:
        assert low <= values.min() < low + 0.01 and high - 0.01 < values.max() <= high


def test_each_change_has_its_own_probability():
    unchanged = sample(IntensityAugmentation(), 4000).intensity == torch.tensor([1.0, 1.0, 0.0])
    torch.testing.assert_close(unchanged.float().mean(0), torch.full((3,), 0.5), atol=0.05, rtol=0)
    assert unchanged.all(1).float().mean().item() == pytest.approx(0.125, abs=0.03)
    assert torch.equal(sample(IntensityAugmentation(probability=0.0), 5).intensity, torch.tensor([[1.0, 1.0, 0.0]] * 5))


def test_same_seed_same_values():
    assert torch.equal(sample(IntensityAugmentation(), 9).intensity, sample(IntensityAugmentation(), 9).intensity)
    assert not torch.equal(
        sample(IntensityAugmentation(), 9).intensity, sample(IntensityAugmentation(), 9, seed=4).intensity
    )


def test_contrast_keeps_the_mean_and_brightness_moves_it():
    image = torch.tensor([0.0, 1.0, 2.0, 5.0]).reshape(1, 1, 2, 2)
    strength = torch.tensor([[1.0, 1.5, 0.0], [1.0, 1.0, 0.2], [0.8, 1.0, 0.0]])
    contrast, brightness, gamma = IntensityAugmentation().change_intensity(image.expand(3, 1, 2, 2), strength)
    assert contrast.flatten().tolist() == pytest.approx([-1.0, 0.5, 2.0, 6.5], abs=1e-4)
    assert brightness.flatten().tolist() == pytest.approx([0.2, 1.2, 2.2, 5.2], abs=1e-4)
    torch.testing.assert_close(gamma, gamma_transform(image, torch.tensor([0.8]))[0])


def test_masks_and_other_rows_are_left_alone():
    augmentation = IntensityAugmentation(probability=1.0)
    image = torch.rand(2, 1, 8, 6, generator=torch.Generator().manual_seed(0))
    mask = (image > 0.5).float()
    rows, none = torch.tensor([1]), torch.tensor([], dtype=torch.int64)
    changed, same = augmentation.apply(image, mask, sample(augmentation, 1), rows, none)
    assert torch.equal(same, mask) and torch.equal(changed[0], image[0])
    assert not torch.equal(changed[1], image[1])
