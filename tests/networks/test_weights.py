"""Pretrained encoder weights: the public files' layouts, local files, and the messages when they are missing."""

from urllib.error import URLError

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.networks import FewShotSegmenter, ResNetEncoder, load_encoder


@pytest.fixture
def network():
    return FewShotSegmenter(ResNetEncoder(depth=18, feature_channels=4, stages=2))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def public_state(prefix="", head="fc."):
    """Weights in the layout of a public checkpoint: all four stages and a head that the encoder has no use for."""
    torch.manual_seed(3)
    state = ResNetEncoder(depth=18).backbone.state_dict()
    state = {
        prefix + name: torch.rand_like(value) if value.is_floating_point() else value for name, value in state.items()
    }
    return {**state, head + "weight": torch.zeros(2)}


@pytest.mark.parametrize(("prefix", "head"), [("", "fc."), ("backbone.", "classifier.")], ids=["imagenet", "coco"])
def test_both_public_layouts_fill_the_backbone_and_leave_the_projection(network, tmp_path, prefix, head):
    torch.save(public_state(prefix, head), tmp_path / "weights.pth")
    projection = network.encoder.projection.weight.clone()
    assert load_encoder(network, str(tmp_path / "weights.pth"), depth=18) is network
    expected = public_state()
    assert all(torch.equal(value, expected[name]) for name, value in network.encoder.backbone.state_dict().items())
    assert torch.equal(network.encoder.projection.weight, projection)


def test_none_changes_nothing(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_encoder(network, "none")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_public_file_in_the_hub_folder_needs_no_connection(network, hub):
    torch.save(public_state(), hub / "resnet18-f37072fd.pth")
    load_encoder(network, "imagenet", depth=18)
    assert torch.equal(network.encoder.backbone.conv1.weight, public_state()["conv1.weight"])


@pytest.mark.parametrize("failure", [URLError("no route"), RuntimeError("invalid hash value")])
def test_offline_the_message_says_what_to_fetch_and_where_to_put_it(network, hub, monkeypatch, failure):
    def refuse(*_, **__):
        raise failure

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(FileNotFoundError) as error:
        load_encoder(network, "coco", depth=101)
    message = str(error.value)
    assert "deeplabv3_resnet101_coco-586e9e4e.pth" in message
    assert str(hub) in message and "--init none" in message


def test_what_does_not_fit_is_refused(network, tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth does not fit this encoder"):
        load_encoder(network, str(tmp_path / "other.pth"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_encoder(network, str(tmp_path / "nowhere.pth"))
    with pytest.raises(InputError, match="no public coco weights for ResNet-18"):
        load_encoder(network, "coco", depth=18)


def test_encoder_options_are_checked():
    with pytest.raises(InputError, match="got 34"):
        ResNetEncoder(depth=34)
    with pytest.raises(InputError, match="2 to 4 stages, got 5"):
        ResNetEncoder(depth=18, stages=5)
