"""CRAPNet against worked numbers (cases of the paper, as docs/README.md of the bundle reads it)."""

import math

import pytest
import torch
from torch import nn

from common.networks import ResNetEncoder
from common.prototypes import fuse, local_scores
from tests.bundles.networks import episode, network_module

attention, pooling = network_module("crapnet", "attention"), network_module("crapnet", "pooling")
CRAPNet = network_module("crapnet").CRAPNet
Block = attention.CycleResemblanceBlock

SUPPORT = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.2]]).t()[None]
QUERY = torch.tensor([[0.9, 0.1], [0.1, 0.9], [-0.7, 0.3], [0.6, 0.4]]).t()[None]


def weights(own, other):
    return attention.cycle_weights(own, other, own)[0].tolist()


def identity_block(**options):
    block = Block(2, 2, **options)
    for convolution in (block.theta, block.value, block.out):
        nn.init.eye_(convolution.weight[:, :, 0].data)
        convolution.weight.data[:, :, 0] = torch.eye(2)
        nn.init.zeros_(convolution.bias)
    return block


def test_cycle_leads_there_and_back():
    support = weights(SUPPORT, QUERY)
    assert support == pytest.approx([0.2618671136, 0.2143986591, 0.2618671136, 0.2618671136], abs=1e-6)
    query = weights(QUERY, SUPPORT)
    assert query == pytest.approx([0.2567895899, 0.2567895899, 0.2567895899, 0.2296312304], abs=1e-6)
    binary = torch.tensor([1.0, 0.0, 1.0, 1.0]).softmax(0)  # cycle consistency: only the same pixel counts
    assert abs(support[1] - binary[1].item()) > 0.01


def test_same_maps_give_uniform_weights():
    corners = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]).t()[None]
    assert weights(corners, corners) == pytest.approx([0.25] * 4)


def test_affinity_is_a_dot_product():
    support = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]).t()[None]
    query = torch.tensor([[2.0, 2.0], [1.0, 0.0]]).t()[None]
    assert weights(support, query) == pytest.approx([0.2693074992, 0.3289329223, 0.4017595785], abs=1e-6)
    normalised = weights(support, nn.functional.normalize(query, dim=1))
    assert normalised != pytest.approx([0.2693074992, 0.3289329223, 0.4017595785], abs=1e-2)


def test_block_output():
    support, query = SUPPORT.unflatten(2, (2, 2)), QUERY.unflatten(2, (2, 2))[:, None]
    answer = identity_block(times_pixels=False)(support, query)[0].flatten(1).t()
    expected = [[1.2618671136, 0.0], [0.9715189273, 0.7286391955], [0.0, 1.2618671136], [-1.2618671136, 0.2523734227]]
    torch.testing.assert_close(answer, torch.tensor(expected), atol=1e-5, rtol=0)
    scaled = identity_block()(support, query)[0].flatten(1).t()
    expected = [[2.0474684545, 0.0], [1.4860757092, 1.1145567819], [0.0, 2.0474684545], [-2.0474684545, 0.4094936909]]
    torch.testing.assert_close(scaled, torch.tensor(expected), atol=1e-5, rtol=0)
    context = torch.tensor([1.1715189273, 0.4428797318])  # one vector for all pixels, as in global context blocks
    assert (answer[0] - context).abs().max() > 0.05


def test_new_block_is_the_identity():
    features = torch.randn(2, 8, 5, 4)
    assert torch.equal(Block(8, 4)(features, torch.randn(2, 3, 8, 6, 6)), features)


def test_trained_attention_changes_the_features_pixel_by_pixel():
    """After a few steps the part of a block that differs between pixels is a fair share of the features.

    With weights of sum 1, the other reading of C(x), it stays below a thousandth of that.
    """

    def share(times_pixels):
        torch.manual_seed(0)
        block = Block(8, 8, times_pixels=times_pixels)
        optimizer = torch.optim.SGD(block.parameters(), lr=0.05, momentum=0.9)
        features, others = torch.randn(1, 8, 32, 32), torch.randn(1, 1, 8, 32, 32)
        for _ in range(150):
            optimizer.zero_grad()
            added = block(features, others) - features
            (added - 0.3 * features).square().mean().backward()
            optimizer.step()
        varying = added - added.mean((2, 3), keepdim=True)
        return float(varying.detach().norm() / features.norm())

    assert share(True) > 0.05 > 1e-3 > share(False)


def test_cycles_through_several_shots_are_averaged():
    block, features = identity_block(), SUPPORT.unflatten(2, (2, 2))
    shots = torch.stack([QUERY, -QUERY], dim=1).unflatten(3, (2, 2))
    single = [block(features, shots[:, index : index + 1]) for index in range(2)]
    torch.testing.assert_close(block(features, shots), (single[0] + single[1]) / 2)


def test_separate_query_embedding_never_learns():
    for options, learns in (({}, True), ({"tied": False}, True), ({"compare_embeddings": False}, False)):
        block = Block(8, 4, **options)
        nn.init.normal_(block.out.weight)
        block.requires_grad_()
        block(torch.randn(1, 8, 5, 5), torch.randn(1, 1, 8, 5, 5)).square().sum().backward()
        gradient = block.theta.weight.grad
        assert (gradient is not None and gradient.abs().sum() > 0) == learns
        if block.phi is not None:
            assert block.phi.weight.grad is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tied_embedding": False},
        {"compare_embeddings": False},
        {"branches": 1},
        {"encoded_features": True},
        {"prototype_rule": "paper", "times_pixels": False},
    ],
    ids=str,
)
def test_everything_that_trains_gets_a_gradient(options):
    """Distributed training stops at a parameter without one."""
    network = CRAPNet(ResNetEncoder(18, 8, 2), feature_channels=8, blocks=2, inner_channels=4, **options)
    outputs = network.train()(*episode((48, 40)))
    (outputs["query"].mean() + outputs["support"].mean()).backward()
    assert [name for name, value in network.named_parameters() if value.requires_grad and value.grad is None] == []


def test_separate_embeddings_match_at_random_and_tied_ones_do_not():
    support = torch.randn(1, 64, 16, 16)
    query = (support + 0.1 * torch.randn_like(support)).flatten(2)
    for tied, found in ((True, 0.95), (False, None)):
        block = Block(64, 32, tied=tied)
        own = block.theta(support.flatten(2))
        other = (block.theta if tied else block.phi)(query)
        right = (torch.matmul(own.transpose(1, 2), other).argmax(2) == torch.arange(256)).float().mean()
        assert right > found if tied else right < 0.05


RAMP = torch.arange(16.0).reshape(1, 1, 4, 4)


def test_pooling_by_uniform_and_by_central_kernels():
    uniform = pooling.reassemble(RAMP, torch.full((1, 9, 2, 2), 1 / 9), factor=2)
    expected = torch.tensor([[1.1111111111, 2.6666666667], [5.6666666667, 10.0]])
    torch.testing.assert_close(uniform[0, 0], expected, atol=1e-5, rtol=0)
    central = torch.zeros(1, 9, 2, 2)
    central[:, 4] = 1.0
    assert pooling.reassemble(RAMP, central, factor=2)[0, 0].tolist() == [[0, 2], [8, 10]]
    assert pooling.reassemble(RAMP, central, factor=2, shift=1)[0, 0].tolist() == [[5, 7], [13, 15]]


@pytest.mark.parametrize("size", [(32, 32), (30, 33), (3, 5)])
def test_pooled_sizes(size):
    pool = pooling.ContentAwarePooling(8)
    assert pool(torch.randn(2, 8, *size)).shape == (2, 8, math.ceil(size[0] / 4), math.ceil(size[1] / 4))


def test_paper_sizes_and_parameters():
    network = CRAPNet(nn.Identity())
    features = torch.randn(1, 256, 32, 32)
    query, support = network.relate(features, features[:, None])
    assert query.shape == (1, 256, 32, 32) and support.shape == (1, 1, 256, 32, 32)
    assert network.pool(features).shape == (1, 256, 8, 8)
    own = network.support_blocks[0].theta(features.flatten(2))
    assert attention.cycle_weights(own, own, own).shape == (1, 1024)
    assert len(network.support_blocks) == len(network.query_blocks) == 5

    def count(block):
        return sum(parameter.numel() for parameter in block.parameters())

    assert count(Block(256)) == 98_816
    assert count(Block(256, tied=False)) == 131_712


@pytest.mark.parametrize("cells", [1, 200, 2**23])
def test_affinity_in_strips_chooses_the_same_pixels(cells):
    # Few values, so that ties are many: the first pixel wins.
    own, other = torch.randint(-1, 2, (3, 4, 30)).float(), torch.randint(-1, 2, (3, 4, 25)).float()
    affinity = own.transpose(1, 2) @ other
    there, back = attention.most_similar(own, other, cells)
    assert torch.equal(there, affinity.max(2)[1])
    assert torch.equal(back, affinity.max(1)[1])


def test_classifier_fuses_per_class():
    # Unit vectors with cosines 0.9 and 0.7 (foreground), 0.2 and 0.1 (background) to the query (1, 0).
    cosines = torch.tensor([0.9, 0.7, 0.2, 0.1])
    vectors = torch.stack([cosines, (1 - cosines**2).sqrt()], 1)[None]
    query = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
    foreground = torch.tensor([[True, False, False]])
    scores = local_scores(query, vectors[:, [0, 2, 3]], foreground, ~foreground, vectors[:, [1]], 20.0)[0, :, 0, 0]
    assert scores.tolist() == pytest.approx([3.761594156, 17.9280551602], abs=1e-4)
    assert scores.softmax(0)[1].item() == pytest.approx(0.9999992959818558, abs=1e-6)
    together = 20 * cosines[None, :, None]
    literal = (together * together.softmax(1)).softmax(1)[0, 0].item()  # equation 17 as printed
    assert literal == pytest.approx(0.9999999308, abs=1e-6)
    assert fuse(together, torch.ones(1, 4, dtype=torch.bool)).item() < 18


def test_one_branch_shares_its_blocks():
    network = CRAPNet(nn.Identity(), feature_channels=8, inner_channels=4, branches=1)
    assert len(network.query_blocks) == 0
    for block in network.support_blocks:
        nn.init.normal_(block.out.weight)
    query, support = torch.randn(1, 8, 4, 4), torch.randn(1, 1, 8, 4, 4)
    answer = network.relate(query, support)
    swapped = network.relate(support[:, 0], query[:, None])
    torch.testing.assert_close(answer[0], swapped[1][:, 0])
    torch.testing.assert_close(answer[1][:, 0], swapped[0])


def test_equations_as_printed_leave_the_query_as_the_encoder_gave_it():
    network = CRAPNet(ResNetEncoder(18, 8, 2), feature_channels=8, inner_channels=4, encoded_features=True)
    for block in network.support_blocks:
        nn.init.normal_(block.out.weight)
    query, support = torch.randn(1, 8, 8, 8), torch.randn(1, 1, 8, 8, 8)
    related = network.relate(query, support)
    assert torch.equal(related[0][:, 8:], query) and torch.equal(related[1][:, :, 8:], support)
    assert not torch.equal(related[1][:, :, :8], support)
