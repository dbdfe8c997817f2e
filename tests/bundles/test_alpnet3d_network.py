"""3D ALPNet against worked numbers (methods: cases of the report's equations) and its properties."""

import pytest
import torch
import yaml
from torch import nn

from common.prototypes import as_prototypes, assign_cells, cell_average, local_scores, masked_average
from tests.bundles.networks import BUNDLES, UNet3DEncoder, episode, network_module

alpnet3d = network_module("alpnet3d")
SIZE = (16, 24, 6)


def worked_features():
    """Features ``(1, 1, 2, 4, 4, 2)``: channel 0 is row + column / 2, channel 1 falls along columns, rises along z."""
    row = torch.arange(4.0).reshape(4, 1, 1)
    column = torch.arange(4.0).reshape(1, 4, 1)
    depth = torch.arange(2.0).reshape(1, 1, 2)
    channels = [row + column / 2 + 0 * depth, 1 - column / 4 + depth + 0 * row]
    return torch.stack(channels)[None, None]


def worked_mask():
    """A 2 x 2 x 2 block, which fills one cell, and one voxel in another cell."""
    mask = torch.zeros(1, 1, 1, 4, 4, 2)
    mask[..., :2, :2, :] = 1.0
    mask[..., 2, 2, 0] = 1.0
    return mask


@pytest.fixture
def network():
    """Small network in evaluation mode with the BatchNorm statistics of a few random volumes, so that features vary."""
    torch.manual_seed(0)
    network = alpnet3d.ALPNet3D(UNet3DEncoder(8, (4, 8, 16)), window=(4, 4, 3))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train().encode(episode(SIZE, batch=4)[0])
    return network.eval()


def test_local_prototypes_and_their_classes():
    prototypes = cell_average(worked_features(), [2, 2, 2])
    expected = torch.tensor([[[0.75, 1.75], [2.75, 3.75]], [[1.375, 0.875], [1.375, 0.875]]])
    torch.testing.assert_close(prototypes[0, 0, ..., 0], expected)
    # Equation 3.1 as printed, strict on both ends, would average the last voxel of the cell alone.
    assert prototypes[0, 0, :, 0, 0, 0].tolist() != [1.5, 1.75]
    fraction = cell_average(worked_mask(), [2, 2, 2])
    assert fraction.flatten().tolist() == [1.0, 0.0, 0.0, 0.125]
    foreground, background = assign_cells(fraction, "paper", 0.95)
    assert foreground.tolist() == [[True, False, False, False]]
    assert background.tolist() == [[False, True, True, True]]
    assert assign_cells(fraction, "code", 0.95)[1].tolist() == [[False, True, True, False]]


def test_class_prototype():
    prototype = masked_average(worked_features(), worked_mask())
    torch.testing.assert_close(prototype, torch.tensor([[[0.9999988889, 1.277776358]]]))


QUERY = [[[1.0, 0.75], [1.0, 0.75]], [[0.0, 0.5], [1.0, 1.5]]]
BACKGROUND = [[19.0161408462, 19.6884737741], [18.8462428125, 15.9371387307]]
FOREGROUND = [[12.1608433893, 18.7141125475], [19.6269563866, 19.8305800439]]
PROBABILITY = [[0.0010527487, 0.2740120712], [0.6858338851, 0.9800317472]]
LITERAL = [[0.2502631872, 0.3185030178], [0.4214584713, 0.4950079368]]


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_fusion_gives_the_foreground_probability_for_every_beta(beta):
    network = alpnet3d.ALPNet3D(nn.Identity(), window=(2, 2, 2))
    query = torch.tensor(QUERY)[None, ..., None]
    scores = network.segment(query, worked_features(), worked_mask())
    torch.testing.assert_close(scores[0, ..., 0], torch.tensor([BACKGROUND, FOREGROUND]), atol=1e-4, rtol=0)
    background, foreground = network.to_log_probabilities(scores, [2, 2, 1])[0, ..., 0].exp()
    torch.testing.assert_close(foreground, torch.tensor(PROBABILITY), atol=1e-5, rtol=0)
    torch.testing.assert_close(beta * foreground + (1 - beta) * (1 - background), foreground, atol=1e-6, rtol=0)
    # Equation 3.5 as printed never exceeds one half.
    literal = (foreground + 0.5 * background) / 2
    torch.testing.assert_close(literal, torch.tensor(LITERAL), atol=1e-5, rtol=0)
    assert literal.max() < 0.5 < foreground.max()


def test_scores_are_those_of_the_listed_prototypes():
    """The worked case once more, from its prototypes."""
    prototypes = torch.tensor([[[1.75, 0.875], [2.75, 1.375], [3.75, 0.875], [0.75, 1.375]]])
    foreground = torch.tensor([[False, False, False, True]])
    class_prototype = torch.tensor([[[0.9999988889, 1.277776358]]])
    query = torch.tensor(QUERY)[None, ..., None]
    scores = local_scores(query, prototypes, foreground, ~foreground, class_prototype, 20.0)
    torch.testing.assert_close(scores[0, ..., 0], torch.tensor([BACKGROUND, FOREGROUND]), atol=1e-4, rtol=0)


def test_code_rule_drops_mixed_cells():
    network = alpnet3d.ALPNet3D(nn.Identity(), window=(2, 2, 2), prototype_rule="code")
    scores = network.segment(torch.tensor(QUERY)[None, ..., None], worked_features(), worked_mask())
    torch.testing.assert_close(scores[0, 1, ..., 0], torch.tensor(FOREGROUND), atol=1e-4, rtol=0)
    assert (scores[0, 0, ..., 0] - torch.tensor(BACKGROUND)).abs().max() > 0.1


def test_dice_loss():
    probability = torch.tensor([0.9, 0.6, 0.2, 0.1]).reshape(1, 1, 4, 1, 1)
    label = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 4, 1, 1)
    query = torch.cat([1 - probability, probability], dim=1).log()
    loss = alpnet3d.DiceEpisodeLoss(alignment_weight=0)
    assert loss({"query": query}, label).item() == pytest.approx(1 / 6, abs=1e-6)
    empty = torch.cat([torch.ones_like(label), torch.zeros_like(label)], dim=1).log()
    assert loss({"query": empty}, torch.zeros_like(label)).item() == 0


@pytest.mark.parametrize(("predicted", "total"), [(3, 0.5666666667), (0, 0.1666666667)])
def test_alignment_loss_is_added_unless_the_query_was_predicted_empty(predicted, total):
    label = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 4, 1, 1)
    query = torch.tensor([0.9, 0.6, 0.2, 0.1]).reshape(1, 1, 4, 1, 1)
    support = torch.tensor([0.5, 0.5, 0.0, 0.0]).reshape(1, 1, 4, 1, 1)  # Dice loss 1 - 3 / 4 = 0.25 against the label
    both = {"query": query, "support": support}
    outputs = {name: torch.cat([1 - value, value], dim=1).log() for name, value in both.items()}
    outputs |= {"support": outputs["support"][:, None], "support_mask": label[:, None]}
    outputs["query_foreground"] = torch.tensor([float(predicted)])
    loss = alpnet3d.DiceEpisodeLoss(alignment_weight=1.6)  # 1.6 x 0.25 = the case's 0.4
    assert loss(outputs, label).item() == pytest.approx(total, abs=1e-6)


def test_loss_of_a_batch_is_the_mean_of_its_episodes(network):
    image, support, mask = episode(SIZE, batch=2, shots=2)
    label = (torch.rand(2, 1, *SIZE) > 0.5).float()
    network.training = True  # training's outputs with evaluation's BatchNorm
    loss = alpnet3d.DiceEpisodeLoss()
    single = [loss(network(image[i : i + 1], support[i : i + 1], mask[i : i + 1]), label[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(loss(network(image, support, mask), label), sum(single) / 2, atol=1e-5, rtol=1e-5)


def test_published_sizes():
    train = yaml.safe_load((BUNDLES / "alpnet3d" / "configs" / "train.yaml").read_text())
    assert train["volume_size"] == [128, 128, 24]
    window = train["window"]
    assert [size // side for size, side in zip(train["volume_size"], window, strict=True)] == [8, 8, 4]
    cells = cell_average(torch.zeros(1, 1, 1, 128, 128, 24), window)
    assert as_prototypes(cells).shape == (1, 256, 1)
    assert alpnet3d.ALPNet3D(nn.Identity()).window == window
    encoder = UNet3DEncoder(train["feature_channels"], train["encoder_channels"])
    # 4.1 million as published; with normalisation before the convolution it would be 4,082,290, with transposed
    # convolutions about 4.77 million.
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 4_081_904
    assert train["max_epochs"] * train["episodes_per_epoch"] == 32_000


def test_published_learning_rates():
    train = yaml.safe_load((BUNDLES / "alpnet3d" / "configs" / "train.yaml").read_text())
    settings = {key: value for key, value in train["lr_scheduler"].items() if not str(value).startswith(("@", "$"))}
    assert settings == {"_target_": "torch.optim.lr_scheduler.OneCycleLR"}
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))])
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=train["learning_rate"], total_steps=32_000)
    rates = []
    for _ in range(32_000):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(4e-6)
    assert max(rates) == rates[9599] == pytest.approx(1e-4)
    assert rates[-1] == pytest.approx(4e-10)
    assert train["weight_decay"] == optimizer.param_groups[0]["weight_decay"]


def test_support_of_another_size_is_welcome(network):
    image = episode(SIZE)[0]
    _, support, mask = episode((16, 24, 9))
    features = network.encode(support.flatten(0, 1))[:, None]
    scores = network.segment(network.encode(image), features, mask)
    assert network.to_log_probabilities(scores, list(SIZE)).shape == (2, 2, *SIZE)
    # Padding the support with whole cells of plain background adds background prototypes only.
    longer = torch.cat([features, torch.zeros_like(features[..., :3])], dim=-1)
    padded = network.segment(network.encode(image), longer, torch.cat([mask, torch.zeros_like(mask[..., :3])], dim=-1))
    torch.testing.assert_close(padded[:, 1], scores[:, 1])


@pytest.mark.parametrize("voxels", [0, 1, 16 * 24 * 6])
def test_extreme_masks_stay_finite(network, voxels):
    image, support, mask = episode(SIZE, batch=1)
    mask = (torch.arange(mask.numel()) < voxels).float().reshape(mask.shape)
    assert network(image, support, mask).isfinite().all()
    loss = alpnet3d.DiceEpisodeLoss()(network.train()(image, support, mask), mask[:, 0])
    loss.backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters())


def test_every_weight_learns(network):
    image, support, mask = episode(SIZE, batch=1)
    alpnet3d.DiceEpisodeLoss()(network.train()(image, support, mask), mask[:, 0]).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())
