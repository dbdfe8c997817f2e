"""ADNet against worked numbers (methods: cases of the ADNet paper and its released code) and its properties."""

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.losses import alignment_loss, weighted_nll
from common.networks import ResNetEncoder
from tests.bundles.networks import network_module

adnet = network_module("adnet")


@pytest.fixture
def network():
    return adnet.ADNet(nn.Identity())


@pytest.fixture
def convolutional():
    torch.manual_seed(0)
    return adnet.ADNet(ResNetEncoder(depth=18, feature_channels=16, stages=2))


def features_with_cosines(cosines):
    """Two-channel features whose cosines with (1, 0) are given, one per pixel ``(1, 2, 1, n)``."""
    cosine = torch.tensor(cosines)
    return torch.stack([cosine, (1 - cosine**2).clamp_min(0).sqrt()])[None, :, None]


def test_score_and_soft_threshold(network):
    support = torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1, 1)
    scores = network.segment(features_with_cosines([1, 0.75, 0.5, 0, -1]), support, torch.ones(1, 1, 1, 1, 1))
    probability = scores.softmax(1)[0, 1, 0]
    expected = torch.tensor([0.9933071491, 0.92414182, 0.5, 0.0066928509, 3.059e-07])
    torch.testing.assert_close(probability, expected, atol=1e-5, rtol=0)
    # S == T is background. The features' own rounding would blur the tie, so it is set exactly.
    assert torch.zeros(1, 2, 1).argmax(1).item() == 0
    assert scores.argmax(1)[0, 0, [0, 1, 3, 4]].tolist() == [1, 1, 0, 0]
    steeper = adnet.ADNet(nn.Identity(), kappa=1.0)
    other = steeper.segment(features_with_cosines([0.75]), support, torch.ones(1, 1, 1, 1, 1)).softmax(1)
    assert abs(other[0, 1].item() - 0.9933071491) < 1e-5


def test_probability_is_upsampled_with_aligned_corners(network):
    probability = torch.tensor([[0.1, 0.9], [0.3, 0.5]])
    scores = torch.stack([torch.zeros(2, 2), torch.logit(probability)])[None]
    foreground = network.to_log_probabilities(scores, [4, 4]).exp()[0, 1]
    expected = torch.tensor(
        [
            [0.1, 0.3666666667, 0.6333333333, 0.9],
            [0.1666666667, 0.3666666667, 0.5666666667, 0.7666666667],
            [0.2333333333, 0.3666666667, 0.5, 0.6333333333],
            [0.3, 0.3666666667, 0.4333333333, 0.5],
        ]
    )
    torch.testing.assert_close(foreground, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(foreground[0], torch.tensor([0.1, 0.3, 0.7, 0.9]), atol=1e-2)


def test_query_loss_divides_by_the_sum_of_weights():
    foreground = torch.tensor([[0.9, 0.2], [0.6, 0.05]])
    log_probabilities = torch.stack([1 - foreground, foreground])[None].log()
    label = torch.tensor([[1.0, 0.0], [0.0, 0.0]])[None, None]
    loss = weighted_nll(log_probabilities, label, (0.1, 1.0)).item()
    assert loss == pytest.approx(0.17264097955032134, abs=1e-6)
    assert loss != pytest.approx(0.05610831835385445, abs=1e-3)
    assert weighted_nll(log_probabilities, label).item() == pytest.approx(0.3240220233084354, abs=1e-6)


def test_loss_clamps_probabilities_at_float32_epsilon(network):
    scores = torch.tensor([0.0, 200.0]).reshape(1, 2, 1, 1)
    background = network.to_log_probabilities(scores, [1, 1])[0, 0].item()
    assert background == pytest.approx(-15.942385, abs=1e-4)


def test_alignment_uses_a_hard_mask_at_feature_resolution(network):
    query = torch.tensor([[[1.0, 0.2], [0.9, -1.0]], [[0.0, 0.1], [0.1, 0.2]]])[None]
    support = torch.tensor([[[1.0, 0.0], [0.5, -1.0]], [[0.1, 1.0], [0.5, 0.0]]])[None, None]
    mask = torch.tensor([[1.0, 0.0], [1.0, 0.0]])[None, None, None]
    probability = torch.tensor([[0.8, 0.5], [0.7, 0.1]])
    scores = torch.stack([torch.zeros(2, 2), torch.logit(probability)])[None]
    outputs = network.episode_outputs(scores, query, support, mask)
    expected = torch.tensor([[0.9932330629, 0.0112684991], [0.9193050095, 3.102e-07]])
    torch.testing.assert_close(outputs["support"].exp()[0, 0, 1], expected, atol=1e-5, rtol=0)
    assert outputs["query_foreground"].tolist() == [2.0]
    assert alignment_loss(outputs).item() == pytest.approx(0.025565008817493858, abs=1e-6)


def test_alignment_loss_is_zero_without_predicted_foreground(network):
    features = torch.randn(1, 2, 2, 2)
    scores = torch.stack([torch.ones(2, 2), torch.zeros(2, 2)])[None]
    outputs = network.episode_outputs(scores, features, features[:, None], torch.ones(1, 1, 1, 2, 2))
    assert alignment_loss(outputs).item() == 0


def test_total_loss_and_threshold_gradient():
    threshold = torch.tensor(-10.0, requires_grad=True)
    query = torch.tensor(0.7)
    outputs = {
        "query": torch.stack([-query.expand(1, 1), torch.zeros(1, 1)])[None],
        "support": torch.stack([torch.tensor([[-0.2]]), torch.zeros(1, 1)])[None, None],
        "support_mask": torch.zeros(1, 1, 1, 1, 1),
        "query_foreground": torch.ones(1),
        "relative_threshold": threshold / 20,
    }
    total = adnet.ADNetLoss()(outputs, torch.zeros(1, 1, 1, 1))
    total.backward()
    assert total.item() == pytest.approx(0.4, abs=1e-6)
    assert threshold.grad.item() == pytest.approx(0.05)


def test_published_parameter_count_and_stride():
    encoder = ResNetEncoder(depth=101)
    assert sum(parameter.numel() for parameter in encoder.backbone.parameters()) == pytest.approx(42.50e6, rel=1e-4)
    assert encoder.projection.weight.numel() == 2048 * 256
    small = ResNetEncoder(depth=18, feature_channels=8).eval()
    assert small(torch.zeros(1, 1, 64, 72)).shape == (1, 8, 8, 9)


def test_weights_of_another_network_are_refused_even_in_lax_mode(convolutional):
    other = adnet.ADNet(ResNetEncoder(depth=18, feature_channels=8, stages=2)).state_dict()
    with pytest.raises(InputError, match="checkpoint of another network: 1 weights missing"):
        convolutional.load_state_dict(other, strict=False)
