"""Encoding in bfloat16: when, and that only the encoder's arithmetic changes."""

import pytest
import torch
from torch import nn

from common.errors import InputError
from common.inferers import FewShotInferer, FewShotVolumeInferer
from common.inferers import precision as module
from common.inferers.precision import encode
from common.networks import FewShotSegmenter


class Recording(nn.Module):
    """A convolution that notes in which type it computed."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 8, 3, padding=1)
        self.dtypes = []

    def forward(self, image):
        features = self.convolution(image)
        self.dtypes.append(features.dtype)
        return features


@pytest.fixture
def segmenter():
    return FewShotSegmenter(Recording()).eval()


IMAGES = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("capable", [True, False])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_bfloat16_where_it_is_asked_for_or_where_the_processor_has_it(monkeypatch, segmenter, precision, capable):
    monkeypatch.setattr(module, "_computes_with_bfloat16", lambda device: capable)
    with torch.no_grad():
        features, reference = encode(segmenter, IMAGES, precision), segmenter.encode(IMAGES)
    low = precision == "bfloat16" or (precision == "auto" and capable)
    assert segmenter.encoder.dtypes == [torch.bfloat16 if low else torch.float32, torch.float32]
    assert features.dtype == torch.float32
    assert torch.equal(features, reference) != low
    torch.testing.assert_close(features, reference, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("inferer", [FewShotInferer, FewShotVolumeInferer])
def test_float32_unless_asked_and_unknown_precisions_are_refused(inferer):
    assert inferer().precision == "float32"
    with pytest.raises(InputError, match="precision is float32, bfloat16 or auto, got half"):
        inferer(precision="half")
