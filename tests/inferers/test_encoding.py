"""Encoding for inference: in bfloat16 where asked for, folded anew for new weights, in batches that fit the memory."""

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.inferers import FewShotInferer, FewShotVolumeInferer
from common.networks import FewShotSegmenter, ResNetEncoder
from common.speed import encoding
from common.speed.encoding import Encoding
from tests.bundles.networks import CANetEncoder, UNet3DEncoder

IMAGES = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def segmenter():
    """Its BatchNorm statistics are those of the images."""
    network = FewShotSegmenter(ResNetEncoder(18, feature_channels=8, stages=2))
    with torch.no_grad():
        network.train().encode(IMAGES)
    return network.eval()


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("capable", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_bfloat16_where_it_is_asked_for_or_where_the_processor_has_it(monkeypatch, segmenter, precision, capable):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: capable)
    features, reference = Encoding(precision, batch_size=6)(segmenter, IMAGES), segmenter.encode(IMAGES)
    low = precision == "bfloat16" or (precision == "auto" and capable)
    assert features.dtype == torch.float32
    assert torch.equal(features, reference) != low
    assert (features - reference).abs().mean() < 0.02 * reference.abs().mean()


def test_volumes_in_bfloat16_are_close_to_float32():
    network = FewShotSegmenter(UNet3DEncoder(8, (4, 8)))
    images = torch.rand(2, 1, 9, 11, 7)
    network.train().encode(images)
    features, reference = Encoding("bfloat16")(network.eval(), images), network.encode(images)
    assert (features - reference).abs().mean() < 0.02 * reference.abs().mean()


def test_normalisation_is_folded_and_the_network_left_as_it_was(segmenter):
    before = {name: value.clone() for name, value in segmenter.state_dict().items()}
    encode = Encoding("bfloat16")
    encode(segmenter, IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in segmenter.state_dict().items())
    kinds = {type(module) for module in encoding.fold(segmenter.encoder).modules()}
    assert nn.Conv2d in kinds and nn.BatchNorm2d not in kinds


@pytest.mark.parametrize("encoder", [ResNetEncoder(50, 8), CANetEncoder(18, 8), UNet3DEncoder(8, (4, 8))])
def test_folding_changes_no_feature(encoder):
    images = torch.rand(2, 1, *[40] * (3 if isinstance(encoder, UNet3DEncoder) else 2))
    encoder.train()(images)
    folded = encoding.fold(encoder.eval())
    assert not [module for module in folded.modules() if "BatchNorm" in type(module).__name__]
    torch.testing.assert_close(folded(images), encoder(images), atol=1e-4, rtol=1e-3)


def test_normalisation_before_its_convolution_is_not_folded():
    encoder = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3)).eval()
    encoder[2].running_mean.fill_(0.5)
    with pytest.raises(ValueError, match="does not follow its convolution"):
        encoding.fold(encoder)


def test_folding_leaves_other_threads_alone(segmenter):
    """The next scan is resampled, by modules of MONAI's, while an encoder is folded."""
    call = nn.Module.__call__
    seen = set()

    class Watching(nn.Module):
        def forward(self, image):
            seen.add(nn.Module.__call__)
            return image

    encoder = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), Watching()).eval()
    encoding.fold(encoder)
    assert seen == {call}


def test_new_weights_are_used(segmenter):
    encode = Encoding("bfloat16")
    first = encode(segmenter, IMAGES)
    assert torch.equal(encode(segmenter, IMAGES), first)
    segmenter.encoder.projection.weight.mul_(2)
    torch.testing.assert_close(encode(segmenter, IMAGES), 2 * first)
    segmenter.encoder.backbone.bn1.running_mean.add_(1)
    assert not torch.equal(encode(segmenter, IMAGES), 2 * first)


class Weighted(nn.Module):
    """Not only convolutions have weights, so that it is not folded; notes the type it computed in."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3, padding=1)
        self.activation = nn.PReLU()

    def forward(self, image):
        self.features = self.convolution(image if image.sum() > 0 else -image)
        return self.activation(self.features)


def test_an_encoder_that_cannot_be_folded_runs_in_bfloat16_all_the_same():
    network = FewShotSegmenter(Weighted()).eval()
    assert Encoding("bfloat16")(network, IMAGES).dtype == torch.float32
    assert network.encoder.features.dtype == torch.bfloat16


def test_a_scripted_network_runs_in_bfloat16_too(segmenter):
    scripted, encode = torch.jit.script(segmenter), Encoding("bfloat16")
    features, reference = encode(scripted, IMAGES), segmenter.encode(IMAGES)
    assert (features - reference).abs().mean() < 0.02 * reference.abs().mean()


def test_batches_are_halved_until_they_fit_the_memory(monkeypatch, segmenter):
    sizes = []

    def small_memory(images):
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("full")
        return images

    monkeypatch.setattr(segmenter, "encode", small_memory)
    assert torch.equal(Encoding(batch_size=5)(segmenter, IMAGES), IMAGES)
    assert sizes == [5, 2, 2, 2]
    monkeypatch.setattr(segmenter, "encode", lambda images: small_memory(torch.cat([images] * 3)))
    with pytest.raises(torch.OutOfMemoryError):
        Encoding(batch_size=5)(segmenter, IMAGES)


def test_a_support_is_encoded_once_until_weights_or_images_change(monkeypatch, segmenter):
    calls, encode = [], segmenter.encode
    monkeypatch.setattr(segmenter, "encode", lambda images: (calls.append(len(images)), encode(images))[1])
    encoding = Encoding(batch_size=6)
    first = encoding.support(segmenter, IMAGES)
    assert torch.equal(encoding.support(segmenter, IMAGES.clone()), first) and calls == [6]
    assert not torch.equal(encoding.support(segmenter, IMAGES.flip(0)), first) and calls == [6, 6]
    weight = next(segmenter.encoder.parameters())
    version = weight._version
    weight.data += 0.1  # as a CUDA graph does: no version tells of it
    assert weight._version == version
    assert not torch.equal(encoding.support(segmenter, IMAGES.flip(0)), first.flip(0)) and calls == [6, 6, 6]
    encoding.support(segmenter, IMAGES[:2])
    assert calls == [6, 6, 6, 2]


@pytest.mark.parametrize("inferer", [FewShotInferer, FewShotVolumeInferer])
def test_unknown_precisions_are_refused(inferer):
    with pytest.raises(InputError, match="precision is float32, bfloat16 or auto, got half"):
        inferer(precision="half")
