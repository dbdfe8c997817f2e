"""FewShotInferer: pairing, counting encoder calls, and what it refuses."""

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from common.errors import InputError
from common.inferers import FewShotInferer
from common.inferers.support import PROTOCOL
from common.networks import FewShotSegmenter
from common.protocols import named_protocol


class Nearest(FewShotSegmenter):
    """Foreground where the query's value equals the mean support value under the mask; counts slices and calls."""

    def __init__(self):
        super().__init__(nn.Identity())
        self.encoded = self.related = 0
        self.calls = {"encode": 0, "relate": 0, "segment": 0}

    def encode(self, image):
        self.encoded += len(image)
        self.calls["encode"] += 1
        return image

    def relate(self, query_features, support_features):
        self.related += len(query_features)
        self.calls["relate"] += 1
        return query_features, support_features

    def segment(self, query_features, support_features, support_mask):
        self.calls["segment"] += 1
        area = support_mask.sum((1, 3, 4), keepdim=True)
        mean = ((support_features * support_mask).sum((1, 3, 4), keepdim=True) / area)[:, 0]
        near = (query_features - mean).abs() < 0.5
        return torch.cat([torch.zeros_like(query_features), torch.where(near, 5.0, -5.0)], 1)


def case(depth=6):
    """Organ 1 has value z + 1 on support slice z (0..5), organ 2 value 50; query slice z holds value z + 1 and 50."""
    support = torch.zeros(1, 4, 4, 6)
    label = torch.zeros(1, 4, 4, 6)
    for index in range(6):
        support[0, 0, 0, index], label[0, 0, 0, index] = index + 1, 1
    support[0, 3, 3, 2], label[0, 3, 3, 2] = 50, 2
    query = MetaTensor(torch.zeros(1, 1, 4, 4, depth))
    for index in range(depth):
        query[0, 0, 1, 1, index] = index + 1
    query[0, 0, 2, 2] = 50
    query.meta.update(support_image=[support], support_label=[label], support_organs=torch.tensor([1, 2]))
    return query


def foreground(inferer, query, organ):
    return (inferer(query, Nearest())[0, organ] > 0.5).nonzero().tolist()


def test_ep2_uses_the_middle_slice_for_every_query_slice():
    inferer = FewShotInferer("ep2", batch_size=2)
    assert foreground(inferer, case(), 1) == [[1, 1, 3]]
    assert foreground(inferer, case(), 2) == [[2, 2, index] for index in range(6)]


def test_ep1_pairs_chunks_within_the_extent():
    query = case()
    query.meta["query_extent"] = torch.tensor([[True] * 6, [False, True, True, False, False, False]])
    inferer = FewShotInferer("ep1")
    assert foreground(inferer, query, 1) == [[1, 1, 1], [1, 1, 3], [1, 1, 5]]
    assert foreground(inferer, query, 2) == [[2, 2, 1], [2, 2, 2]]


def test_a_query_may_ask_for_another_protocol():
    query = case()
    query.meta["query_extent"] = torch.tensor([[True] * 6, [False, True, True, False, False, False]])
    inferer = FewShotInferer("ep2")
    assert foreground(inferer, query, 1) == [[1, 1, 3]]
    query.meta[PROTOCOL] = "ep1"
    assert foreground(inferer, query, 1) == [[1, 1, 1], [1, 1, 3], [1, 1, 5]]


def test_every_slice_is_encoded_once_for_all_organs():
    network = Nearest()
    FewShotInferer("ep2")(case(), network)
    assert network.encoded == 6 + 2  # all query slices, and the middle support slice of each organ


def test_calls_do_not_grow_with_the_number_of_organs():
    networks = []
    for organs in ([1], [1, 2, 3, 4]):
        query = case()
        label = query.meta["support_label"][0]
        for organ in (2, 3, 4):
            label[0, organ % 4, 1] = organ
        query.meta["support_organs"] = torch.tensor(organs)
        query.meta["query_extent"] = torch.ones(len(organs), 6, dtype=torch.bool)
        networks.append([Nearest(), Nearest()])
        FewShotInferer("ep2", batch_size=4)(query, networks[-1][0])
        FewShotInferer("k3", batch_size=4)(query, networks[-1][1])
    for one, four in zip(*networks, strict=True):
        assert one.calls == four.calls
        assert one.encoded == four.encoded
        assert one.related == four.related == 6  # the organs share their support slices, and so their related pairs


def test_probabilities_sum_with_the_best_organ_to_one():
    answer = FewShotInferer("ep2")(case(), Nearest())
    assert answer.shape == (1, 3, 4, 4, 6)
    assert isinstance(answer, MetaTensor)
    torch.testing.assert_close(answer[:, 0], 1 - answer[:, 1:].amax(1))


def test_shots_from_several_volumes_skip_those_without_the_organ():
    query = case()
    support, label = query.meta["support_image"][0], query.meta["support_label"][0]
    query.meta["support_image"] = [support, support + 2]
    query.meta["support_label"] = [label, torch.where(label == 1, label, torch.zeros_like(label))]
    inferer = FewShotInferer("ep2")
    assert foreground(inferer, query, 1) == [[1, 1, 4]]  # mean of 4 and 6
    assert foreground(inferer, query, 2) == [[2, 2, index] for index in range(6)]


@pytest.mark.parametrize("name, shots", [("ep1", 1), ("ep2", 1), ("ep2", 2), ("k4", 1), ("ep2k3", 1)])
def test_one_forward_pass_for_each_slice_and_organ_gives_the_same(mixing, name, shots):
    """Three organs in two support volumes of different depth, of which the second lacks organ 3."""
    noise = torch.Generator().manual_seed(4)
    images = [torch.rand(1, 5, 4, depth, generator=noise) for depth in (7, 9)]
    labels = [torch.randint(0, 4, image.shape, generator=noise) for image in images]
    labels[1][labels[1] == 3] = 0
    query = MetaTensor(torch.rand(1, 1, 5, 4, 8, generator=noise))
    extent = torch.zeros(3, 8, dtype=torch.bool)
    extent[0, 1:7] = extent[1, 3] = extent[2, 2:] = True
    query.meta.update(
        support_image=images, support_label=labels, support_organs=torch.tensor([1, 2, 3]), query_extent=extent
    )

    protocol, expected = named_protocol(name, shots), torch.zeros(3, 5, 4, 8)
    for organ in range(3):
        chunks = protocol.query_chunks(8, extent[organ].nonzero().flatten().tolist())
        for index in [index for index in range(8) if chunks[index] >= 0]:
            chosen, masks = [], []
            for image, mask in zip(images, [label[0] == organ + 1 for label in labels], strict=True):
                drawn = mask.flatten(0, 1).any(0).nonzero().flatten().tolist()
                for slice_ in protocol.support_slices(drawn)[chunks[index]] if drawn else []:
                    chosen.append(image[..., slice_])
                    masks.append(mask[None, ..., slice_].float())
            shown, joined = query.as_tensor()[..., index], [[torch.stack(chosen), torch.stack(masks)]]
            alone = [[image[None], mask[None]] for image, mask in zip(chosen, masks, strict=True)]
            answers = [
                mixing(shown, image[None], mask[None])[0, 1].exp()
                for image, mask in (alone if protocol.one_by_one else joined)
            ]
            weights = torch.ones(1)
            if protocol.one_by_one:
                means = [mixing.encode(image).mean((0, 2, 3)) for image in (shown, *(one[0] for one in alone))]
                alike = torch.stack([torch.cosine_similarity(means[0], mean, dim=0) for mean in means[1:]])
                weights = (alike / 0.01).softmax(0)
            expected[organ, ..., index] = sum(w * answer for w, answer in zip(weights, answers, strict=True))
    for batch_size in (1, 3, 8):
        inferer = FewShotInferer(name, shots=shots, batch_size=batch_size)
        torch.testing.assert_close(inferer(query, mixing)[0, 1:].as_tensor(), expected, rtol=0, atol=1e-6)


def test_one_drawn_slice_is_enough_for_ep1():
    query = case()
    query.meta["support_label"][0][..., 1:] = 0
    query.meta["support_organs"] = torch.tensor([1])
    query.meta["query_extent"] = torch.ones(1, 6, dtype=torch.bool)
    assert foreground(FewShotInferer("ep1"), query, 1) == [[1, 1, 0]]


def test_one_drawn_slice_answers_ep2k3_as_ep2():
    query = case()
    query.meta["support_label"][0][..., 3:] = 0
    query.meta["support_label"][0][..., :2] = 0
    few, one = (FewShotInferer(name) for name in ("ep2k3", "ep2"))
    networks = Nearest(), Nearest()
    assert torch.equal(few(query, networks[0]), one(query, networks[1]))
    assert networks[0].calls == networks[1].calls and networks[0].related == networks[1].related


def test_batches_do_not_change_the_answer():
    one, many = (FewShotInferer("ep2", batch_size=size)(case(), Nearest()) for size in (1, 64))
    assert torch.equal(one, many)


def test_refusals():
    inferer = FewShotInferer("ep1")
    with pytest.raises(InputError, match="protocol ep1 needs .* give query_slices"):
        inferer(case(), Nearest())
    with pytest.raises(InputError, match="no support"):
        inferer(torch.zeros(1, 1, 4, 4, 2), Nearest())
    with pytest.raises(InputError, match=r"one volume .* got shape \(2, 1, 4, 4, 2\)"):
        inferer(torch.zeros(2, 1, 4, 4, 2), Nearest())
