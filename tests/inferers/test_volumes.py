"""FewShotVolumeInferer: windows, shots, the number of calls, and what it refuses."""

import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import sliding_window_inference
from torch import nn

from common.errors import InputError
from common.inferers import FewShotVolumeInferer
from common.inferers.support import PROTOCOL, read_support
from common.networks import FewShotSegmenter


class Nearest(FewShotSegmenter):
    """Foreground where the query's value is near the support's mean under the mask; counts its calls."""

    def __init__(self):
        super().__init__(nn.Identity())
        self.calls = {"encode": 0, "relate": 0}
        self.shots = []

    def encode(self, image):
        self.calls["encode"] += 1
        return image

    def relate(self, query_features, support_features):
        self.calls["relate"] += 1
        return query_features, support_features

    def segment(self, query_features, support_features, support_mask):
        self.shots.append(support_features.shape[1])
        area = support_mask.flatten(1).sum(1)
        mean = (support_features * support_mask).flatten(1).sum(1) / area
        near = (query_features - mean.reshape(-1, 1, 1, 1, 1)).abs() < 0.5
        return torch.cat([torch.zeros_like(query_features), torch.where(near, 9.0, -9.0)], 1)


def case(organs=(1, 2, 3, 4), shape=(12, 10, 6)):
    """Blocks of value 10 times the organ's number; the query holds the same blocks, shifted by one voxel."""
    image, label = torch.zeros(1, *shape), torch.zeros(1, *shape)
    for organ in organs:
        place = (0, slice(2 * organ, 2 * organ + 2), slice(3, 6), slice(1, 4))
        image[place], label[place] = 10.0 * organ, organ
    query = MetaTensor(image.roll(1, dims=2)[None])
    query.meta.update(support_image=[image], support_label=[label], support_organs=torch.tensor(organs))
    return query


def expected(query):
    labels = query.meta["support_label"][0].roll(1, dims=2)
    return torch.stack([labels[0] == organ for organ in query.meta["support_organs"]])


@pytest.mark.parametrize("roi", [(12, 10, 6), (16, 16, 8), (6, 6, 4), (5, 16, 3)], ids=str)
def test_windows_of_any_size_find_every_organ(roi):
    query = case()
    answer = FewShotVolumeInferer(roi_size=roi, overlap=0.5, batch_size=2)(query, Nearest())
    assert isinstance(answer, MetaTensor) and answer.shape == (1, 5, 12, 10, 6)
    assert torch.equal(answer[0, 1:] > 0.5, expected(query))
    torch.testing.assert_close(answer[:, 0], 1 - answer[:, 1:].amax(1))


@pytest.mark.parametrize("roi", [(12, 10, 6), (12, 6, 4)], ids=str)
def test_calls_do_not_grow_with_the_number_of_organs(roi):
    calls = []
    for organs in ([1], [1, 2, 3, 4]):
        network = Nearest()
        FewShotVolumeInferer(roi_size=roi)(case(organs), network)
        calls.append(network.calls)
    assert calls[0] == calls[1]
    if roi == (12, 10, 6):
        assert calls[0] == {"encode": 2, "relate": 1}


def test_organs_with_as_many_shots_share_one_call_whichever_their_windows():
    """Cut into three windows without overlap, organs 1 and 2 have one shot each, organ 3 has two."""
    label = torch.zeros(1, 12, 4, 4)
    label[0, 0, 0, 0], label[0, 5, 0, 0], label[0, 6:10, 0, 0] = 1, 2, 3
    query = MetaTensor(torch.rand(1, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0)))
    network = Nearest()
    for organs, related in (([1], 1), ([1, 2], 1), ([1, 2, 3], 2)):
        query.meta.update(support_image=[label], support_label=[label], support_organs=torch.tensor(organs))
        network.calls["relate"] = 0
        FewShotVolumeInferer(roi_size=(4, 4, 4), overlap=0)(query, network)
        assert network.calls["relate"] == related
    assert network.shots[-3:] == [1, 1, 2]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_one_forward_pass_for_each_window_and_organ_gives_the_same(mixing, batch_size):
    """Three organs in two support volumes of different depth; organs differ in windows and in their number."""
    noise = torch.Generator().manual_seed(4)
    images = [torch.rand(1, 4, 4, depth, generator=noise) for depth in (6, 4)]
    labels = [torch.zeros_like(image) for image in images]
    labels[0][0, 1:3, 1:3, :2], labels[0][0, 0, :, 1:5], labels[0][0, 3, :, 5] = 1, 2, 3
    labels[1][0, 1:3, 1:3, 2] = 2
    query = MetaTensor(torch.rand(1, 1, 4, 4, 9, generator=noise))
    query.meta.update(support_image=images, support_label=labels, support_organs=torch.tensor([1, 2, 3]))
    answer = FewShotVolumeInferer(roi_size=(4, 4, 4), overlap=0.5, batch_size=batch_size)(query, mixing)

    # The first volume has windows at slices 0 and 2, the second is one window.
    for organ, places in enumerate([[(0, 0)], [(0, 0), (0, 2), (1, 0)], [(0, 2)]]):
        shots = torch.stack([images[volume][..., z : z + 4] for volume, z in places])[None]
        masks = torch.stack([(labels[volume] == organ + 1)[..., z : z + 4].float() for volume, z in places])[None]
        expected = sliding_window_inference(
            query.as_tensor(),
            (4, 4, 4),
            1,
            lambda window, shots=shots, masks=masks: mixing(window, shots, masks)[:, 1:].exp(),
            overlap=0.5,
            mode="gaussian",
        )
        torch.testing.assert_close(answer[:, organ + 1].as_tensor(), expected[:, 0], rtol=0, atol=1e-6)


def test_one_drawn_slice_or_all():
    query = case([1])
    query.meta["support_image"][0][0, 2:4, 3:6, 1:4] = torch.tensor([10.0, 30.0, 50.0])
    query[0, 0, :, :, 5] = 30.0
    found = {
        option: (FewShotVolumeInferer(support_slices=option, roi_size=(12, 10, 6))(query, Nearest())[0, 1] > 0.5).sum()
        for option in ("one", "all")
    }
    assert found == {"one": 120, "all": 120}  # the middle of the drawn slices has the mean of all three
    query.meta["support_label"][0][..., 3] = 0  # now two are drawn; the middle one is the second, value 30
    assert (FewShotVolumeInferer(support_slices="one", roi_size=(12, 10, 6))(query, Nearest())[0, 1] > 0.5).sum() == 120
    assert (FewShotVolumeInferer(support_slices="all", roi_size=(12, 10, 6))(query, Nearest())[0, 1] > 0.5).sum() == 0


def test_shots_are_the_fuller_windows_of_every_volume():
    query = case([1, 2])
    image, label = query.meta["support_image"][0], query.meta["support_label"][0]
    longer = torch.nn.functional.pad(image, (0, 3)), torch.nn.functional.pad(label * (label == 1), (0, 3))
    query.meta.update(support_image=[image, longer[0]], support_label=[label, longer[1]])
    network = Nearest()
    answer = FewShotVolumeInferer(roi_size=(12, 10, 6), overlap=0)(query, network)
    assert sorted(network.shots) == [1, 2]
    assert torch.equal(answer[0, 1:] > 0.5, expected(query))


def test_each_drawn_voxel_is_in_one_window_of_all():
    """Windows overlap by half; their masks, summed where they lie, are the drawing."""
    query = case([1, 2])
    inferer = FewShotVolumeInferer(roi_size=(6, 6, 4), overlap=0.5, support_windows="all")
    support = read_support(query)
    images, masks, organs = inferer._cut_support(support, inferer.roi_size)
    for organ, value in enumerate((1, 2)):
        chosen = next(key for key, numbers in organs.items() if organ in numbers)
        assert sum(int(masks[window, organ].sum()) for window in chosen) == int((support.labels[0] == value).sum())
        assert all(
            masks[window, organ].any() and (images[window, 0][masks[window, organ]] == 10 * value).all()
            for window in chosen
        )


def test_without_a_window_a_volume_is_one():
    query = case()
    network = Nearest()
    answer = FewShotVolumeInferer()(query, network)
    assert network.calls == {"encode": 2, "relate": 1}
    torch.testing.assert_close(answer, FewShotVolumeInferer(roi_size=(12, 10, 6))(query, Nearest()))
    # Supports of other sizes are padded to the largest.
    images, labels = query.meta["support_image"], query.meta["support_label"]
    query.meta.update(support_image=[images[0], images[0][..., 1:5]], support_label=[labels[0], labels[0][..., 1:5]])
    assert torch.equal(FewShotVolumeInferer()(query, Nearest())[0, 1:] > 0.5, expected(query))


def test_what_does_not_fit_is_cut_into_patches(monkeypatch, caplog):
    class Small(Nearest):
        def encode(self, image):
            if image.shape[2:] == (12, 10, 6):
                raise torch.OutOfMemoryError
            return super().encode(image)

    answer = FewShotVolumeInferer(patch_size=(6, 6, 4))(case(), Small())
    assert torch.equal(answer[0, 1:] > 0.5, expected(case()))
    assert "in windows of [6, 6, 4]" in caplog.text
    with pytest.raises(torch.OutOfMemoryError):
        FewShotVolumeInferer()(case(), Small())


def test_ep1_keeps_to_the_extent_and_needs_it():
    query = case([1, 2])
    inferer = FewShotVolumeInferer("ep1", roi_size=(12, 10, 6))
    with pytest.raises(InputError, match="protocol ep1 needs .* give query_slices"):
        inferer(query, Nearest())
    extent = torch.zeros(2, 6, dtype=torch.bool)
    extent[0, 1:3] = extent[1, 3] = True
    query.meta["query_extent"] = extent
    assert torch.equal(inferer(query, Nearest())[0, 1:] > 0.5, expected(query) & extent[:, None, None, :])
    query.meta[PROTOCOL] = "ep1"
    assert torch.equal(FewShotVolumeInferer(roi_size=(12, 10, 6))(query, Nearest()), inferer(query, Nearest()))


def test_refusals():
    assert not FewShotVolumeInferer("ep2k5").protocol.within_extent  # every drawn slice counts anyway
    with pytest.raises(InputError, match="ep1 or ep2, got k12"):
        FewShotVolumeInferer("k12")
    with pytest.raises(InputError, match="all or one, got two"):
        FewShotVolumeInferer(support_slices="two")
    with pytest.raises(InputError, match="support_windows is fullest or all, got best"):
        FewShotVolumeInferer(support_windows="best")
    with pytest.raises(InputError, match="no support"):
        FewShotVolumeInferer()(torch.zeros(1, 1, 4, 4, 4), Nearest())
