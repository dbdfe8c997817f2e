"""Prototype operations against worked numbers, the upsampled formulation and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from common.prototypes import (
    as_prototypes,
    assign_cells,
    cell_average,
    cosine_similarity,
    fuse,
    local_scores,
    masked_average,
    resize_adjoint,
    resize_mask,
)

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


RAMP = torch.tensor(
    [
        [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0], [8.0, 9.0, 10.0, 11.0], [12.0, 13.0, 14.0, 15.0]],
        [[1.0, 3.0, 5.0, 2.0], [4.0, 1.0, 3.0, 5.0], [2.0, 4.0, 1.0, 3.0], [5.0, 2.0, 4.0, 1.0]],
    ]
)[None, None]


def block(rows, columns, size=4):
    mask = torch.zeros(1, 1, 1, size, size)
    mask[..., :rows, :columns] = 1.0
    return mask


def test_cells_and_their_classes():
    cells = cell_average(RAMP, [2, 2])
    expected = torch.tensor([[[2.5, 4.5], [10.5, 12.5]], [[2.25, 3.75], [3.25, 2.25]]])
    torch.testing.assert_close(cells[0, 0], expected)
    assert as_prototypes(cells)[0, 1].tolist() == [4.5, 3.75]
    fraction = cell_average(block(2, 3), [2, 2])
    assert fraction.flatten().tolist() == [1.0, 0.5, 0.0, 0.0]
    foreground, background = assign_cells(fraction, "code")
    assert foreground[0].tolist() == [True, False, False, False]
    assert background[0].tolist() == [False, False, True, True]
    foreground, background = assign_cells(fraction, "paper")
    assert foreground[0].tolist() == [True, False, False, False]
    assert background[0].tolist() == [False, True, True, True]


def test_a_cell_exactly_at_the_threshold():
    """From the threshold on it is foreground by the paper, above it only by the released code."""
    fraction = torch.tensor([0.0, 0.5, 0.75]).reshape(1, 1, 1, 3, 1)
    for rule, foreground, background in (("paper", [0, 1, 1], [1, 0, 0]), ("code", [0, 0, 1], [1, 0, 0])):
        found = assign_cells(fraction, rule, threshold=0.5)
        assert [part[0].int().tolist() for part in found] == [foreground, background]


def test_without_background_cells_those_with_the_least_foreground_serve():
    fraction = torch.tensor([[0.8, 0.5, 1.0, 0.5], [0.0, 1.0, 1.0, 1.0]]).reshape(2, 1, 1, 2, 2)
    background = assign_cells(fraction, "code")[1]
    assert background.tolist() == [[False, True, False, True], [True, False, False, False]]
    assert assign_cells(torch.ones(1, 1, 1, 2, 2), "paper")[1].all()


def test_last_cells_are_smaller_where_the_window_does_not_divide():
    cells = cell_average(torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0]).expand(1, 1, 1, 5, 5), [5, 2])
    assert cells.flatten().tolist() == [1.5, 3.5, 9.0]


def test_class_level_prototype_at_feature_size():
    prototype = masked_average(RAMP, block(2, 3))[0, 0]
    torch.testing.assert_close(prototype, torch.tensor([2.999995, 2.8333286111]), atol=1e-5, rtol=0)


def test_fusion_takes_the_softmax_of_scaled_similarities():
    cosines = torch.tensor([1.0, 0.9, 0.5]).reshape(1, 3, 1)
    fused = fuse(20 * cosines, torch.ones(1, 3, dtype=torch.bool)).item()
    assert fused == pytest.approx(19.76120382371247, abs=1e-5)
    for other in (20.0, 16.0, 16.86426633237368):
        assert fused != pytest.approx(other, abs=1e-2)
    only = torch.tensor([[False, True, False]])
    assert fuse(20 * cosines, only).item() == pytest.approx(18.0)
    assert fuse(20 * cosines, torch.tensor([[False, True, True]])).item() > 17


def test_fusion_has_no_nan_gradient_where_prototypes_do_not_count():
    similarity = torch.randn(2, 4, 3, requires_grad=True)
    fuse(similarity, torch.tensor([[True, False, False, True], [False, True, False, False]])).sum().backward()
    assert similarity.grad.isfinite().all()
    assert similarity.grad[1, 2].abs().sum() == 0


@pytest.mark.parametrize("alpha", [20.0, 40.0, 60.0])
def test_local_scores_are_those_of_the_softmax(alpha):
    """For more places than one strip holds, and where a class has nothing alike."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 3, 50, 60, generator=generator, dtype=torch.float64)
    prototypes = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    whole = torch.randn(2, 2, 3, generator=generator, dtype=torch.float64)
    query[0, :, 0, 0], prototypes[0] = -prototypes[0, 0], prototypes[0, 0]
    foreground = torch.tensor([[True, True, False, False, False], [False] * 5])
    background = torch.tensor([[False, False, True, False, False], [True] * 5])
    scores = local_scores(query, prototypes, foreground, background, whole, alpha)
    local, classes = (alpha * cosine_similarity(query, vectors) for vectors in (prototypes, whole))
    counted = torch.cat([foreground, torch.ones(2, 2, dtype=torch.bool)], 1)
    expected = torch.stack([fuse(local, background), fuse(torch.cat([local, classes], 1), counted)], 1)
    torch.testing.assert_close(scores, expected, atol=1e-9, rtol=1e-9)
    single = local_scores(query.float(), prototypes.float(), foreground, background, whole.float(), alpha)
    torch.testing.assert_close(single.double(), expected, atol=1e-3, rtol=1e-4)


def test_masks_are_resized_by_their_central_pixels():
    mask = torch.zeros(1, 1, 1, 16, 16)
    mask[..., 3:9, 2:10] = 1.0
    resized = resize_mask(mask, [4, 4])[0, 0, 0]
    assert resized.tolist() == [[0, 0, 0, 0], [0.5, 1, 0.5, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert resize_mask(mask, [2, 2])[0, 0, 0].tolist() == [[1, 0], [0, 0]]
    area = F.avg_pool2d(mask[0], 4)[0, 0]
    assert area[0].tolist() == [0.125, 0.25, 0.125, 0] and area[1].tolist() == [0.5, 1, 0.5, 0]
