"""How cost grows with work, by counts: images encoded, floating-point operations and bytes allocated."""

import tracemalloc

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch.utils.flop_counter import FlopCounterMode

from common.inferers import FewShotInferer
from common.networks import ResNetEncoder
from tests.bundles.networks import CANetEncoder, ResNeXt3DEncoder, UNet3DEncoder, network_module
from tests.episodes.loaders import slice_loader

SIZE = 64


def operations(function, *arguments):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        function(*arguments)
    return counter.get_total_flops()


@pytest.fixture
def cost(monkeypatch):
    """Give ``cost(depth, organs, shots)``: images encoded and operations of segmenting a volume under EP2."""
    network = network_module("adnet").ADNet(ResNetEncoder(18, stages=2)).eval()
    encode, encoded = network.encode, []
    monkeypatch.setattr(network, "encode", lambda images: encoded.append(len(images)) or encode(images))

    def measure(depth=4, organs=1, shots=1):
        encoded.clear()
        generator = torch.Generator().manual_seed(0)
        label = torch.zeros(1, SIZE, SIZE, 16)
        for organ in range(organs):
            row, column = 16 * (organ // 4), 16 * (organ % 4)
            label[0, row : row + 12, column : column + 12] = organ + 1
        support = torch.randn(1, SIZE, SIZE, 16, generator=generator)
        query = MetaTensor(torch.randn(1, 1, SIZE, SIZE, depth, generator=generator))
        query.meta.update(support_image=[support], support_label=[label], support_organs=torch.arange(1, organs + 1))
        return operations(FewShotInferer("ep2", shots=shots), query, network), sum(encoded)

    return measure


def test_cost_is_linear_in_voxels(cost):
    found, images = zip(*(cost(depth=depth) for depth in (4, 8, 16, 32)), strict=True)
    assert images == (5, 9, 17, 33)
    steps = np.diff(found) / [4, 8, 16]
    np.testing.assert_allclose(steps, steps[0])


def test_organs_add_no_encoding(cost):
    found, images = zip(*(cost(organs=organs) for organs in (1, 4, 13)), strict=True)
    assert images == (5, 5, 5)
    steps = np.diff(found) / [3, 9]
    np.testing.assert_allclose(steps, steps[0])


def test_shots_add_support_only(cost):
    found, images = zip(*(cost(shots=shots) for shots in (1, 5, 12)), strict=True)
    assert images == (5, 9, 16)
    one_slice = cost(depth=5)[0] - cost(depth=4)[0]
    for (first, second), shots in zip(zip(found[:-1], found[1:], strict=True), (4, 7), strict=True):
        assert second - first == pytest.approx(shots * one_slice, rel=0.02)


PLANE, LARGE_PLANE, VOLUME, SLAB = (256, 256), (512, 512), (128, 128, 24), (215, 215, 10)
PAPERS = {
    "adnet": (lambda: network_module("adnet").ADNet(ResNetEncoder()), PLANE),
    "adnet_3d": (lambda: network_module("adnet").ADNet(ResNeXt3DEncoder(), pool_at="features"), SLAB),
    "alpnet3d": (lambda: network_module("alpnet3d").ALPNet3D(UNet3DEncoder()), VOLUME),
    "crapnet": (lambda: network_module("crapnet").CRAPNet(ResNetEncoder()), PLANE),
    "lsnet": (lambda: network_module("lsnet").LSNet(CANetEncoder()), LARGE_PLANE),
    "ssl_alpnet": (lambda: network_module("ssl_alpnet").ALPNet(ResNetEncoder()), PLANE),
}


@pytest.mark.parametrize("name", PAPERS)
def test_an_organ_beyond_the_first_takes_less_than_a_tenth_of_the_operations(name):
    """Of convolutions and products, at the papers' sizes, its support encoded already; nothing is computed."""
    build, size = PAPERS[name]
    with torch.device("meta"):
        network = build().eval()
        image, mask = torch.empty(1, 1, *size), torch.empty(1, 1, 1, *size)
        encoding = operations(network.encode, image)

        def organ():
            features = torch.empty_like(network.encode(image))
            query, support = network.relate(features, features[:, None])
            network.to_log_probabilities(network.segment(query, support, mask), list(size))

        assert 0 < operations(organ) - encoding < 0.1 * encoding


class Synthetic:
    """Volumes made when asked for."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        x, y = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
        supervoxels = (1 + x // 16 + 4 * (y // 16)).expand(20, -1, -1).movedim(0, -1)[None]
        return {"image": torch.randn(1, SIZE, SIZE, 20, generator=generator), "supervoxels": supervoxels.int()}


def test_memory_does_not_grow_with_the_training_set_beyond_the_cache_asked_for(tmp_path):
    one = SIZE * SIZE * 20 * 6  # bytes of a packed volume

    def peak(count, cache_bytes):
        tracemalloc.start()
        loader = slice_loader(Synthetic(count), pack_dir=tmp_path, cache_bytes=cache_bytes)
        loader.episodes(range(4))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2, 0)  # what is loaded once
    few, many, held = peak(10, 0), peak(100, 0), peak(100, 1000 * one)
    index = 90 * 16 * 20 * 4 * 8  # of 90 volumes: supervoxels, slices, columns, bytes; some copies of it are made
    assert many - few < 6 * index < 0.15 * 90 * one
    assert held > 100 * one
