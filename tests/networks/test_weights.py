"""Pretrained encoder weights: the public files' layouts, local files, and the messages when they are missing."""

import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.networks import FewShotSegmenter, ResNetEncoder, load_encoder, load_network
from common.networks.weights import _FILES
from tests.bundles.networks import CANetEncoder, ResNeXt3DEncoder, UNet3DEncoder


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


def test_a_full_resnet_fills_canet_and_leaves_its_head(tmp_path):
    network = FewShotSegmenter(CANetEncoder(depth=18, feature_channels=4))
    torch.save(public_state(), tmp_path / "resnet.pth")
    head = network.encoder.head[0].weight.clone()
    load_encoder(network, str(tmp_path / "resnet.pth"), depth=18)
    filled = network.encoder.backbone.state_dict()
    expected = {name: value for name, value in public_state().items() if not name.startswith(("layer4.", "fc."))}
    assert filled.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in filled.items())
    assert torch.equal(network.encoder.head[0].weight, head)


def test_kinetics_layout_fills_the_3d_resnext(tmp_path):
    network, source = (FewShotSegmenter(ResNeXt3DEncoder(4, (1, 1, 1, 1), width=4, cardinality=4)) for _ in range(2))
    # That release is older than the batch counter of BatchNorm.
    names = [name for name in source.encoder.backbone.state_dict() if not name.endswith("num_batches_tracked")]
    weights = {name: torch.rand_like(source.encoder.backbone.state_dict()[name]) for name in names}
    state = {"module." + name: value for name, value in weights.items()} | {"module.fc.weight": torch.zeros(2)}
    optimizer = {"state": {}, "param_groups": [{"lr": 0.1}]}
    file = tmp_path / "resnext-101-kinetics.pth"
    torch.save({"epoch": 1, "arch": "resnext-101", "state_dict": state, "optimizer": optimizer}, file)
    load_encoder(network, str(file))
    filled = network.encoder.backbone.state_dict()
    assert all(torch.equal(filled[name], value) for name, value in weights.items())


@pytest.mark.parametrize("init", ["coco", "imagenet"])
def test_public_weights_are_refused_before_any_download_where_they_cannot_fit(hub, init):
    with pytest.raises(InputError, match="weights are 2D; use none or the path of resnext-101-kinetics.pth"):
        load_encoder(FewShotSegmenter(ResNeXt3DEncoder(4, (1, 1), width=4, cardinality=4)), init)
    unet = FewShotSegmenter(UNet3DEncoder(4, (2, 4)))
    with pytest.raises(InputError, match="UNet3DEncoder has no pretrained weights"):
        load_encoder(unet, init)
    assert load_encoder(unet, "none") is unet


def test_none_changes_nothing(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_encoder(network, "none")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.fixture
def public_file(hub, monkeypatch):
    """A file in the hub folder under a name that ends in the first digits of its hash, as the public ones."""
    torch.save(public_state(), hub / "draft.pth")
    digits = hashlib.sha256((hub / "draft.pth").read_bytes()).hexdigest()[:8]
    file = (hub / "draft.pth").rename(hub / f"resnet18-{digits}.pth")
    monkeypatch.setitem(_FILES, ("imagenet", 18), file.name)
    return file


def test_public_file_in_the_hub_folder_needs_no_connection(network, public_file):
    load_encoder(network, "imagenet", depth=18)
    assert torch.equal(network.encoder.backbone.conv1.weight, public_state()["conv1.weight"])


def test_damaged_public_file_is_fetched_again_with_a_line(network, public_file, monkeypatch, caplog):
    whole = public_file.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    public_file.write_bytes(damaged)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, file, **_: Path(file).write_bytes(whole))
    load_encoder(network, "imagenet", depth=18)
    assert f"{public_file} is damaged" in caplog.text
    assert torch.equal(network.encoder.backbone.conv1.weight, public_state()["conv1.weight"])


@pytest.mark.parametrize("failure", [URLError("no route"), RuntimeError("invalid hash value")])
def test_offline_the_message_says_what_to_fetch_and_where_to_put_it(network, hub, monkeypatch, failure):
    def refuse(*_, **__):
        raise failure

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
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


def test_a_whole_network_is_filled_from_its_checkpoint(network, tmp_path):
    source = FewShotSegmenter(ResNetEncoder(depth=18, feature_channels=4, stages=2))
    torch.save(source.state_dict(), tmp_path / "model.pt")
    assert load_network(network, str(tmp_path / "model.pt")) is network
    expected = source.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_checkpoints_that_fit_no_network_are_refused_by_name(network, tmp_path):
    file = tmp_path / "model.pt"
    with pytest.raises(FileNotFoundError, match=r"model\.pt; train first"):
        load_network(network, str(file))
    torch.save(FewShotSegmenter(UNet3DEncoder(4, (2, 4))).state_dict(), file)
    with pytest.raises(InputError, match=r"model\.pt: checkpoint of another network"):
        load_network(network, str(file))
    torch.save({"optimizer": network.state_dict(), "trainer": {"iteration": 3}}, file)
    with pytest.raises(InputError, match=r"model\.pt holds something else"):
        load_network(network, str(file))


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut short", b"\x80\x02c__main__\nf\n)R."])
def test_files_that_are_no_checkpoint_are_refused_by_name(network, tmp_path, content):
    file = tmp_path / "model.pt"
    file.write_bytes(content)
    for load in (load_network, load_encoder):
        with pytest.raises(InputError, match=r"model\.pt is no checkpoint"):
            load(network, str(file))


def test_encoder_options_are_checked():
    with pytest.raises(InputError, match="got 34"):
        ResNetEncoder(depth=34)
    with pytest.raises(InputError, match="2 to 4 stages, got 5"):
        ResNetEncoder(depth=18, stages=5)
    with pytest.raises(InputError, match="got 34"):
        CANetEncoder(depth=34)
    with pytest.raises(InputError, match="cardinality must divide 2 \\* width = 8, got 3"):
        ResNeXt3DEncoder(width=4, cardinality=3)
