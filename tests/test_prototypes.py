"""Prototype operations against worked numbers, the upsampled formulation and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from common.prototypes import cosine_similarity, masked_average, resize_adjoint

FEATURES = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]])
MASK = torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])


def upsampled_average(features, mask):
    """Average as the paper writes it: upsample first, pool at mask size."""
    mode = "bilinear" if mask.dim() == 5 else "trilinear"
    large = F.interpolate(features.flatten(0, 1), size=mask.shape[3:], mode=mode, align_corners=False)
    large = large.unflatten(0, features.shape[:2])
    return (large * mask).flatten(3).sum(3) / (mask.flatten(3).sum(3) + 1e-5)


def test_prototype_is_pooled_at_mask_size():
    prototype = masked_average(FEATURES[None, None], MASK[None, None, None])[0, 0]
    torch.testing.assert_close(prototype, torch.tensor([1.9374951563, -0.1874995313]), atol=1e-5, rtol=0)
    downsampled_mask = torch.tensor([1.7499825002, -0.2499975])
    assert not torch.allclose(prototype, downsampled_mask, atol=1e-2)


@settings(max_examples=25, deadline=None)
@given(
    feature_size=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    factors=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    seed=st.integers(0, 1000),
)
def test_adjoint_pooling_equals_upsampled_pooling(feature_size, factors, seed):
    generator = torch.Generator().manual_seed(seed)
    size = [n * f + (f > 3) for n, f in zip(feature_size, factors, strict=False)]
    features = torch.randn(2, 3, 4, *feature_size, generator=generator)
    mask = (torch.rand(2, 3, 1, *size, generator=generator) > 0.5).float()
    torch.testing.assert_close(masked_average(features, mask), upsampled_average(features, mask), atol=1e-6, rtol=1e-5)


def test_adjoint_keeps_the_sum_and_same_size_is_identity():
    mask = torch.rand(2, 1, 16, 24)
    torch.testing.assert_close(resize_adjoint(mask, [4, 3]).sum((2, 3)), mask.sum((2, 3)))
    assert resize_adjoint(mask, [16, 24]) is mask


def test_empty_mask_gives_the_zero_prototype_and_cosine_zero():
    prototype = masked_average(torch.randn(1, 1, 4, 2, 2), torch.zeros(1, 1, 1, 8, 8))
    assert torch.equal(prototype, torch.zeros(1, 1, 4))
    assert torch.equal(cosine_similarity(torch.randn(1, 4, 2, 2), prototype), torch.zeros(1, 1, 2, 2))


def test_cosine_is_scale_invariant():
    query = torch.tensor([[[3.0, 0.0], [1.0, -2.0]], [[4.0, 5.0], [1.0, 0.0]]])[None]
    prototype = torch.tensor([[[0.6, 0.8]]])
    expected = torch.tensor([[20.0, 16.0], [19.7989898732, -12.0]])
    for scale in (1.0, 7.0):
        scores = 20 * cosine_similarity(query, prototype * scale)[0, 0]
        torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)


def test_gradients():
    features = torch.randn(1, 2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    query = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(1, 2, 1, 5, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda support, target: cosine_similarity(target, masked_average(support, mask)), (features, query)
    )


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_batch_of_episodes_equals_single_episodes(shots):
    features, mask = torch.randn(3, shots, 4, 5, 5), torch.rand(3, shots, 1, 10, 10)
    together = masked_average(features, mask)
    for episode in range(3):
        alone = masked_average(features[episode : episode + 1], mask[episode : episode + 1])
        torch.testing.assert_close(together[episode : episode + 1], alone)
