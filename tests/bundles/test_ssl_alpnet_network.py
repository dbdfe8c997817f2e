"""SSL-ALPNet against worked numbers (cases of the ALPNet paper and its released code)."""

import math

import pytest
import torch
from torch import nn

from common.losses import EpisodeLoss, alignment_loss, weighted_nll
from tests.bundles.networks import network_module

ALPNet = network_module("ssl_alpnet").ALPNet


def wave(rows, columns):
    """Features ``(3, rows, columns)`` of the worked cases: cos(0.2 c + 0.6 r), sin(0.5 c), 0.5."""
    first = [[round(math.cos(0.2 * c + 0.6 * r), 4) for c in range(columns)] for r in range(rows)]
    second = [[round(math.sin(0.5 * c), 4) for c in range(columns)] for _ in range(rows)]
    return torch.stack([torch.tensor(first), torch.tensor(second), torch.full((rows, columns), 0.5)])


def block(rows, columns, size):
    mask = torch.zeros(size, size)
    mask[:rows, :columns] = 1.0
    return mask


def score(support, query, mask, **options):
    network = ALPNet(nn.Identity(), **options).eval()
    return network.segment(query[None], support[None, None], mask[None, None, None])[0]


SMALL_BACKGROUND = [
    [11.8231744577, 7.161241344, 10.1173007729, 11.2477651286],
    [15.3403351413, 8.4785279861, 12.6417658355, 13.7960244399],
    [19.6639695514, 13.9978917389, 18.0095859475, 18.6829133101],
    [19.4797892368, 16.7935256061, 18.6964870042, 19.6292320637],
]
SMALL_FOREGROUND = [
    [18.6133616624, 18.142501339, 19.9541358979, 19.3675078296],
    [15.8732823834, 18.2007169909, 19.8829236841, 17.9775530148],
    [8.2885962623, 16.7642504981, 15.8848568056, 11.4666931],
    [1.114814199, 2.1273507551, 2.7230846558, 2.2038096123],
]
SMALL_PROBABILITY = [
    [0.9988765055, 0.9999829826, 0.9999465567, 0.9997024833],
    [0.6301702467, 0.9999400649, 0.9992840313, 0.9849546789],
    [1.14745e-05, 0.9408306097, 0.1067164116, 0.0007340345],
    [1.06e-08, 4.271e-07, 1.156e-07, 2.71e-08],
]
PAPER_BACKGROUND = [
    [19.9355151887, 13.1610872317, 18.0244599119, 19.6254529527],
    [19.2417356413, 13.2923117016, 18.9256448515, 19.9308452633],
    [19.6387288726, 13.7204704944, 18.0954521881, 18.5121595421],
    [19.4796503087, 16.7935127157, 18.6962607421, 19.6289937852],
]
PAPER_FOREGROUND = [
    [18.3553436019, 19.1495352835, 19.8306597254, 19.0891058115],
    [15.6943250814, 19.1728129982, 19.6450708546, 17.7405531499],
    [8.1765995911, 17.4626595167, 15.6450105806, 11.3303853192],
    [1.0030137747, 1.9885249139, 2.5538849984, 2.0846635608],
]


def test_small_structure_has_the_class_level_prototype_alone_unless_the_paper_is_followed():
    support = wave(4, 4)
    query = support.roll(1, dims=2)
    code = score(support, query, block(2, 3, 4))
    torch.testing.assert_close(code, torch.tensor([SMALL_BACKGROUND, SMALL_FOREGROUND]), atol=1e-4, rtol=0)
    torch.testing.assert_close(code.softmax(0)[1], torch.tensor(SMALL_PROBABILITY), atol=1e-5, rtol=0)
    paper = score(support, query, block(2, 3, 4), prototype_rule="paper")
    torch.testing.assert_close(paper, torch.tensor([PAPER_BACKGROUND, PAPER_FOREGROUND]), atol=1e-4, rtol=0)
    assert (code - paper).abs().max() > 1


WINDOWS = {
    2: (
        [19.2182696681, 18.4285227738, 19.5487034833, 19.5628583356]
        + [19.4327590833, 17.830138068, 18.6263499764, 18.8956061697],
        [14.4608025023, 18.8680619063, 18.9095702566, 19.0308983258]
        + [19.5506155579, 19.401398014, 19.6474603299, 16.5166511776],
        0.4336026958726012,
    ),
    4: (
        [16.2990390976, 19.4446980554, 17.1211037572, 15.1824991327]
        + [13.7482093019, 11.41355904, 5.542109451, -1.4912414362],
        [6.36639538, 16.4246700405, 18.8461477172, 19.2937300925]
        + [19.5827363457, 19.3556936923, 15.0581104281, 6.4301467341],
        0.39484874564862327,
    ),
}


@pytest.mark.parametrize("window", WINDOWS)
def test_large_structure_has_local_and_class_level_prototypes(window):
    support = wave(8, 8)
    scores = score(support, support.flip(1), block(4, 6, 8), inference_window=window)
    background, foreground, mean = WINDOWS[window]
    torch.testing.assert_close(scores[:, 0], torch.tensor([background, foreground]), atol=1e-4, rtol=0)
    assert scores.softmax(0)[1].mean().item() == pytest.approx(mean, abs=1e-5)


def test_training_and_inference_have_their_own_window():
    support = wave(8, 8)
    arguments = support.flip(1)[None], support[None, None], block(4, 6, 8)[None, None, None]
    network = ALPNet(nn.Identity())
    training, inference = network.train().segment(*arguments), network.eval().segment(*arguments)
    torch.testing.assert_close(training[0, :, 0], torch.tensor(WINDOWS[4][:2]), atol=1e-4, rtol=0)
    torch.testing.assert_close(inference[0, :, 0], torch.tensor(WINDOWS[2][:2]), atol=1e-4, rtol=0)


def test_empty_mask_scores_zero():
    support = wave(4, 4)
    scores = score(support, support.roll(1, dims=2), torch.zeros(4, 4))
    assert torch.equal(scores[1], torch.zeros(4, 4))
    assert scores.isfinite().all()


def test_mask_of_several_shots_is_large_when_one_of_them_is():
    network = ALPNet(nn.Identity()).eval()
    support, query = torch.stack([wave(8, 8), wave(8, 8).flip(2)])[None], wave(8, 8).flip(1)[None]
    masks = torch.stack([block(4, 6, 8), block(1, 1, 8)])[None, :, None]
    both = network.segment(query, support, masks)
    assert (both - network.segment(query, support[:, :1], masks[:, :1])).abs().max() > 1e-3
    assert (both - network.segment(query, support[:, 1:], masks[:, 1:])).abs().max() > 1e-3


def test_losses():
    logits = torch.tensor([[[2.0, -1.0], [0.0, 1.0]], [[0.0, 1.0], [3.0, 1.0]]])[None]
    label = torch.tensor([[0.0, 1.0], [1.0, 0.0]])[None, None]
    log_probabilities = logits.log_softmax(1)
    query = weighted_nll(log_probabilities, label, (0.05, 1.0)).item()
    assert query == pytest.approx(0.10310434390326689, abs=1e-6)
    assert query != pytest.approx(0.05412978054921511, abs=1e-3)
    outputs = {
        "query": log_probabilities,
        "support": log_probabilities[:, None],
        "support_mask": label[:, None],
        "query_foreground": torch.zeros(1),
    }
    aligned = 0.2488976385549081
    assert alignment_loss(outputs, skip_empty=False).item() == pytest.approx(aligned, abs=1e-6)
    assert alignment_loss(outputs).item() == 0
    loss = EpisodeLoss(0.05, 1.0, skip_empty_alignment=False)
    assert loss(outputs, label).item() == pytest.approx(query + aligned, abs=1e-6)


def test_global_mode_is_panet():
    support, query = wave(4, 4), wave(4, 4).roll(1, dims=2)
    mask = block(2, 3, 4)
    scores = score(support, query, mask, prototype_mode="global")
    for index, weight in enumerate((1 - mask, mask)):
        prototype = (support * weight).sum((1, 2)) / weight.sum()
        cosine = torch.cosine_similarity(query, prototype[:, None, None], dim=0)
        torch.testing.assert_close(scores[index], 20 * cosine, atol=1e-4, rtol=0)
