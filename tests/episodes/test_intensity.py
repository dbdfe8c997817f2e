"""Intensity curves and bias fields: worked numbers, and that nothing else of the augmentation changes."""

import math

import torch

from common.episodes import EpisodeAugmentation
from common.episodes.intensity import IntensityAugmentation, bend_curve, multiply_field


def test_a_curve_keeps_the_ends_and_bends_the_middle():
    image = torch.tensor([2.0, 3.0, 4.0]).view(1, 1, 1, 3)
    bent = bend_curve(image, torch.tensor([[0.1, 0.0, 0.3]]))
    # The middle is at u = 1/2: sin(pi/2) = 1 and sin(3 pi/2) = -1, the third at a third of its amplitude.
    expected = torch.tensor([2.0, 3 + 2 * (0.1 - 0.3 / 3), 4.0])
    torch.testing.assert_close(bent.flatten(), expected, atol=1e-4, rtol=0)
    bent = bend_curve(image, torch.tensor([[0.1, 0.0, 0.0]]))
    torch.testing.assert_close(bent.flatten()[1], torch.tensor(3.2), atol=1e-4, rtol=0)


def test_a_field_multiplies_what_lies_above_the_minimum():
    image = torch.tensor([[1.0, 3.0, 3.0], [3.0, 3.0, 3.0]]).view(1, 1, 2, 3)
    field = multiply_field(image, torch.tensor([[0.2, 0.0, 0.0, 0.0, 0.0]]))[0, 0]  # cos(x) from left to right
    assert field[0, 0] == 1.0
    torch.testing.assert_close(field[1], 1 + 2 * torch.exp(torch.tensor([0.2, 0.0, -0.2])))


def test_without_curve_and_bias_it_is_the_published_augmentation():
    image, mask = torch.rand(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
    results = []
    for augmentation in (EpisodeAugmentation(), IntensityAugmentation(curve=0, bias=0)):
        generator, noise = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
        parameters = augmentation.sample(generator, noise, (32, 32), intensities=2, geometries=0)
        results.append(augmentation.apply(image, mask, parameters, geometry_rows=torch.empty(0, dtype=torch.int64)))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-5, rtol=0)


def test_the_same_generator_gives_the_same_intensities_and_each_slice_its_own():
    augmentation = IntensityAugmentation()
    drawn = [
        augmentation.sample(torch.Generator().manual_seed(5), torch.Generator(), (32, 32), intensities=2).intensity
        for _ in range(2)
    ]
    assert torch.equal(*drawn)
    assert drawn[0].shape == (2, 9)
    assert not torch.equal(drawn[0][0], drawn[0][1])
    assert math.isclose(float(drawn[0][:, 1:].abs().max().clamp(max=1)), float(drawn[0][:, 1:].abs().max()))
