"""LSNet against worked numbers (cases of the paper, as docs/README.md of the bundle reads it)."""

import pytest
import torch
from torch import nn

from tests.bundles.networks import network_module

module = network_module("lsnet")
LSNet = module.LSNet

SUPPORT = torch.tensor(
    [
        [[1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 1.0, 1.0], [0.0, 1.0, 2.0, 3.0]],
        [[0.0, 1.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0], [1.0, 0.0, 1.0, 0.0], [3.0, 3.0, 1.0, 1.0]],
    ]
)
MASK = torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 1.0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
QUERY = torch.tensor(
    [
        [[4.0, 3.0, 2.0, 1.0], [1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 2.0, 2.0], [3.0, 2.0, 1.0, 0.0]],
        [[1.0, 0.0, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0], [0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 3.0, 3.0]],
    ]
)


def prototypes(features, masks, fraction, overlap=0.5):
    """Prototypes ``(G, F)`` of shots ``(K, F, H, W)`` and masks ``(K, H, W)``, and what each cell holds."""
    cells = module.grid_cells(list(masks.shape[1:]), fraction, overlap, masks)
    means, held = module._cell_prototypes(features.flatten(2)[None], masks.flatten(1)[None], cells)
    return means[0], held[0]


def scores(query, support, mask, **options):
    network = LSNet(nn.Identity(), **options)
    return network.segment(query[None], support[None, None], mask[None, None, None])[0]


LAYOUTS = [(1 / 16, 4, 2, 31), (1 / 8, 8, 4, 15), (1 / 4, 16, 8, 7), (1.0, 64, 32, 1)]


@pytest.mark.parametrize(("fraction", "side", "stride", "count"), LAYOUTS)
def test_paper_grids(fraction, side, stride, count):
    axis = module._axis_cells(64, fraction, 0.5, torch.empty(0))
    assert axis.shape == (count, 64)
    assert axis.sum(1).tolist() == [side] * count
    assert axis.argmax(1).tolist() == [index * stride for index in range(count)]
    assert module.grid_cells([64, 64], fraction, 0.5, axis).shape == (count**2, 64**2)


@pytest.mark.parametrize(("length", "side"), [(11, 1), (12, 2), (13, 2), (19, 2), (20, 3), (21, 3)])
def test_a_cells_side_is_the_nearest_whole_number(length, side):
    """An eighth of 11 is 1.375, of 12 is 1.5, of 19 is 2.375, of 20 is 2.5; halves go up. So do those of the stride."""
    axis = module._axis_cells(length, 0.125, 0.0, torch.empty(0))
    assert axis.sum(1).tolist() == [side] * len(axis)
    halved = module._axis_cells(3 * 8, 0.125, 0.5, torch.empty(0))
    assert halved.argmax(1).tolist()[:3] == [0, 2, 4]


def test_coverage():
    assert module._axis_cells(8, 0.5, 0.5, torch.empty(0)).sum(0).tolist() == [1, 1, 2, 2, 2, 2, 1, 1]
    covered = module.grid_cells([8, 8], 0.5, 0.5, torch.empty(0)).sum(0)
    assert covered.max() == 4 and covered[0] == 1
    assert module._axis_cells(8, 0.25, 0.0, torch.empty(0)).sum(0).tolist() == [1] * 8


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("fraction", [1 / 16, 1 / 8, 1 / 3, 1.0])
def test_every_place_is_covered(fraction, overlap):
    for length in range(1, 40):
        assert module._axis_cells(length, fraction, overlap, torch.empty(0)).sum(0).min() >= 1


FOREGROUND = [[[0.5, 1.0], [0.0, 2.0], [0.0, 2.0]], [[0.0, 2.0]] * 3, [[0.0, 0.0]] * 3]
BACKGROUND = [
    [[1.5, 1.5], [2.5, 0.5], [2.6666666667, 1.0]],
    [[1.6666666667, 1.0], [1.5, 0.5], [1.0, 1.0]],
    [[1.25, 1.75], [1.5, 1.25], [1.75, 0.75]],
]


def test_local_prototypes():
    foreground, held = prototypes(SUPPORT[None], MASK[None], 0.5)
    torch.testing.assert_close(foreground, torch.tensor(FOREGROUND).flatten(0, 1), atol=1e-5, rtol=0)
    assert torch.equal(foreground[6:], torch.zeros(3, 2))
    assert held.tolist() == [True] * 6 + [False] * 3
    background, _ = prototypes(SUPPORT[None], 1 - MASK[None], 0.5)
    torch.testing.assert_close(background, torch.tensor(BACKGROUND).flatten(0, 1), atol=1e-5, rtol=0)


SIMILAR_FOREGROUND = [
    [0.6507913735, 0.4472135955, 0.4472135955, 0.0],
    [1.0, 1.0, 1.0, 0.894427191],
    [0.0, 0.7071067812, 0.0, 0.4472135955],
    [0.0, 0.0, 0.0, 0.0],
]
SIMILAR_BACKGROUND = [
    [0.8574929257, 0.9805806757, 0.9945054529, 0.9363291776],
    [0.9486832981, 0.7071067812, 0.7071067812, 0.9486832981],
    [0.8574929257, 0.9958932065, 0.9486832981, 0.9982743732],
    [0.8087360843, 0.9734171683, 0.8502651467, 0.3939192986],
]
PROBABILITY = [
    [0.0157656416, 2.32928e-05, 1.76309e-05, 7.4e-09],
    [0.7362045558, 0.9971508018, 0.9971508018, 0.2525379234],
    [3.56e-08, 0.0030923448, 5.8e-09, 1.63508e-05],
    [9.45e-08, 3.5e-09, 4.12e-08, 0.0003787006],
]
PROBABILITY_SCALE_1 = [
    [0.4485078174, 0.369731913, 0.3664929467, 0.2816424276],
    [0.5128263609, 0.5727042928, 0.5727042928, 0.4864392997],
    [0.2978634113, 0.4283009962, 0.2791496985, 0.3656183355],
    [0.3081598938, 0.2741999123, 0.2993772399, 0.4027741665],
]


def test_best_covering_cell_decides():
    answer = scores(QUERY, SUPPORT, MASK, grid_fraction=0.5)
    expected = 20 * torch.tensor([SIMILAR_BACKGROUND, SIMILAR_FOREGROUND])
    torch.testing.assert_close(answer, expected, atol=1e-4, rtol=0)
    assert answer.argmax(0).nonzero().tolist() == [[1, 0], [1, 1], [1, 2]]
    torch.testing.assert_close(answer.softmax(0)[1], torch.tensor(PROBABILITY), atol=1e-5, rtol=0)
    unscaled = scores(QUERY, SUPPORT, MASK, grid_fraction=0.5, scale=1.0)
    torch.testing.assert_close(unscaled.softmax(0)[1], torch.tensor(PROBABILITY_SCALE_1), atol=1e-5, rtol=0)
    assert abs(answer[1, 1, 1] / 20 - 0.9736067977) > 0.01  # the mean over covering cells
    cells = module.grid_cells([4, 4], 0.5, 0.5, MASK)
    _, held = prototypes(SUPPORT[None], MASK[None], 0.5)
    assert (held.float() @ cells > 0).reshape(4, 4).tolist() == [[True] * 4] * 3 + [[False] * 4]


def test_ties_are_background():
    features = torch.ones(2, 4, 4)
    answer = scores(features, features, MASK, grid_fraction=0.5)
    assert torch.equal(answer[0, :3], answer[1, :3]) and answer.argmax(0).sum() == 0


def test_greatest_cosine_of_several_cells():
    similarity = torch.tensor([0.2, 0.9, -0.4])
    directions = torch.stack([similarity, (1 - similarity**2).sqrt()], 1)
    query = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
    network = LSNet(nn.Identity())
    assert network._best_covering(query, directions[None, :2], torch.ones(2, 1)).item() == pytest.approx(0.9)
    empty = torch.stack([directions[2], torch.zeros(2)])[None]
    assert network._best_covering(query, empty, torch.ones(2, 1)).item() == 0.0
    assert network._best_covering(query, empty, torch.tensor([[1.0], [0.0]])).item() == pytest.approx(-0.4)


@pytest.mark.parametrize(("forced", "label"), [(True, 0), (False, 1)])
def test_background_is_forced_where_no_covering_cell_holds_foreground(forced, label):
    query, support = torch.tensor([-0.3, 0.9539392]).reshape(2, 1, 1), torch.tensor([1.0, 0.0]).reshape(2, 1, 1)
    answer = scores(query, support, torch.zeros(1, 1), force_background=forced)
    assert answer[0].item() == pytest.approx(20 * -0.3, abs=1e-4)
    assert answer.argmax(0).item() == label


def test_shots_are_averaged_after_their_cells():
    first = torch.tensor([[2.0, 4.0], [0.0, 0.0]]).reshape(2, 1, 2)
    third = torch.tensor([[0.0, 9.0], [3.0, 9.0]]).reshape(2, 1, 2)
    full, none, one = torch.ones(1, 2), torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    with_empty, _ = prototypes(torch.stack([first, third]), torch.stack([full, none]), 1.0)
    assert with_empty[0].tolist() == [1.5, 0.0]
    both, _ = prototypes(torch.stack([first, third]), torch.stack([full, one]), 1.0)
    assert both[0].tolist() == [1.5, 1.5]
    assert both[0].tolist() != [2.0, 1.0]  # all pixels of all shots pooled


def test_one_cell_is_the_global_average():
    foreground, _ = prototypes(SUPPORT[None], MASK[None], 1.0)
    assert foreground[0].tolist() == pytest.approx([0.3333333333, 1.3333333333], abs=1e-5)
    background, _ = prototypes(SUPPORT[None], 1 - MASK[None], 1.0)
    assert background[0].tolist() == pytest.approx([1.7692307692, 1.2307692308], abs=1e-5)


def test_training_has_no_alignment_direction():
    network = LSNet(nn.Conv2d(1, 4, 3, stride=8, padding=1)).train()
    outputs = network(torch.randn(1, 1, 64, 64), torch.randn(1, 1, 1, 64, 64), torch.ones(1, 1, 1, 64, 64))
    assert list(outputs) == ["query"] and outputs["query"].shape == (1, 2, 64, 64)


def test_cells_of_larger_slices_have_the_size_of_training():
    like = torch.empty(0)
    trained = module._axis_cells(32, 0.125, 0.5, like)
    larger = module._axis_cells(44, 0.125, 0.5, like, grid_size=32)
    assert set(larger.sum(1).tolist()) == set(trained.sum(1).tolist()) == {4.0}
    assert larger.sum(0).min() >= 1
    assert torch.equal(module._axis_cells(32, 0.125, 0.5, like, grid_size=32), trained)
