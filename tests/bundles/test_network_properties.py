"""What holds for the network of every bundle: episodes and shots, extreme masks, precision, devices, exports."""

import json
from functools import partial

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from common.configuration.workflow import merged_config
from common.inferers import FewShotInferer, FewShotVolumeInferer
from common.networks import ConditionedSegmenter, ResNetEncoder
from tests.bundles.networks import BUNDLES, CANetEncoder, ResNeXt3DEncoder, UNet3DEncoder, episode, network_module
from tests.e2e.tiny import SMALL

PLANE, VOLUME = (48, 40), (16, 24, 6)


def resnet():
    return ResNetEncoder(depth=18, feature_channels=16, stages=2)


def lsnet(**options):
    return network_module("lsnet").LSNet(CANetEncoder(depth=18, feature_channels=16), grid_fraction=0.4, **options)


def crapnet(**options):
    """Blocks start as the identity; here they do something."""
    network = network_module("crapnet").CRAPNet(resnet(), feature_channels=16, blocks=2, inner_channels=8, **options)
    for block in [*network.support_blocks, *network.query_blocks]:
        torch.nn.init.normal_(block.out.weight, std=3.0)
    return network


def adnet_3d():
    encoder = ResNeXt3DEncoder(feature_channels=8, layers=(1, 1), width=4, cardinality=2)
    return network_module("adnet").ADNet(encoder, pool_at="features")


def alpnet3d(**options):
    """Batch statistics count in full, for else the features of an untrained U-Net hardly differ between voxels."""
    network = network_module("alpnet3d").ALPNet3D(UNet3DEncoder(8, (4, 8)), window=(4, 4, 3), alpha=5.0, **options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.momentum = None
    return network


def as_configured(bundle):
    """The network of train.yaml with the tiny settings of the bundle's about.yaml."""
    settings = {**merged_config(BUNDLES / bundle, ["train"]), **SMALL[bundle]}
    definition = json.loads(json.dumps(settings["network_def"]).replace('"scripts.', f'"{bundle}_scripts.'))
    network_module(bundle)
    return ConfigParser({**settings, "imports": [], "network_def": definition}).get_parsed_content("network_def")


# Every bundle, some with a network that is smaller yet than that of its about.yaml, and variants.
NETWORKS = {
    **{bundle: (partial(as_configured, bundle), PLANE) for bundle in SMALL},
    "adnet": (lambda: network_module("adnet").ADNet(resnet()), PLANE),
    "adnet_3d": (adnet_3d, VOLUME),
    "alpnet3d": (alpnet3d, VOLUME),
    "alpnet3d-code": (lambda: alpnet3d(prototype_rule="code"), VOLUME),
    "ssl_alpnet": (lambda: network_module("ssl_alpnet").ALPNet(resnet()), PLANE),
    "ssl_alpnet-paper": (lambda: network_module("ssl_alpnet").ALPNet(resnet(), prototype_rule="paper"), PLANE),
    "ssl_panet": (lambda: network_module("ssl_alpnet").ALPNet(resnet(), prototype_mode="global"), PLANE),
    "lsnet": (lsnet, PLANE),
    "lsnet-literal": (lambda: lsnet(force_background=False, overlap=0.0), PLANE),
    "crapnet": (crapnet, PLANE),
    "crapnet-one-branch": (lambda: crapnet(branches=1, times_pixels=False), PLANE),
    "crapnet-as-printed": (lambda: crapnet(encoded_features=True, compare_embeddings=False), PLANE),
}


@pytest.fixture(params=NETWORKS)
def case(request):
    """Network in evaluation mode and image size; its BatchNorm statistics are those of a few random images."""
    build, size = NETWORKS[request.param]
    torch.manual_seed(0)
    network = build()
    with torch.no_grad():
        network.train().encode(episode(size, batch=4)[0])
    return network.eval(), size


def test_batch_equals_single_episodes(case):
    network, size = case
    image, support, mask = episode(size, batch=3, shots=2)
    together = network(image, support, mask)
    assert together.shape == (3, 2, *size)
    for index in range(3):
        one = slice(index, index + 1)
        torch.testing.assert_close(together[one], network(image[one], support[one], mask[one]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shots", [2, 5])
def test_order_of_shots_does_not_matter(case, shots):
    network, size = case
    image, support, mask = episode(size, batch=1, shots=shots)
    answer, reversed_answer = network(image, support, mask), network(image, support.flip(1), mask.flip(1))
    torch.testing.assert_close(answer, reversed_answer, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_scripted_and_conditioned_networks_agree(case, shots):
    network, size = case
    image, support, mask = episode(size, shots=shots)
    answer = network(image, support, mask)
    torch.testing.assert_close(torch.jit.script(network)(image, support, mask), answer, atol=1e-5, rtol=1e-5)
    conditioned = ConditionedSegmenter(network, support[0], mask[0])
    torch.testing.assert_close(conditioned(image[:1]), answer[:1], atol=1e-5, rtol=1e-5)
    scripted = torch.jit.script(conditioned)
    torch.testing.assert_close(scripted(image), conditioned(image), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("filled", ["nothing", "one pixel", "everything"])
def test_extreme_masks_stay_finite(case, filled):
    network, size = case
    image, support, mask = episode(size, batch=1)
    pixels = {"nothing": 0, "one pixel": 1, "everything": mask.numel()}[filled]
    mask = (torch.arange(mask.numel()) < pixels).float().reshape(mask.shape)
    assert not network(image, support, mask).isnan().any()
    outputs = network.train()(image, support, mask)
    sum(value.float().mean() for value in outputs.values()).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_without_support_everything_is_background(case):
    network, size = case
    answer = network(torch.randn(2, 1, *size))
    assert answer.shape == (2, 2, *size)
    assert answer.argmax(1).sum() == 0


def test_bfloat16_is_close_to_float32(case):
    network, size = case
    image, support, mask = episode(size)
    answer = network(image, support, mask).exp()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fast = network(image, support, mask).float().exp()
    assert (fast - answer).abs().mean() < 0.03
    assert (fast.argmax(1) == answer.argmax(1)).float().mean() > 0.95


def test_encoder_and_relate_calls_do_not_grow_with_the_number_of_organs(case, monkeypatch):
    """A second query on the same support costs no support work."""
    network, size = case
    grid = (*size, 3) if len(size) == 2 else size
    inferer = FewShotInferer("ep2") if len(size) == 2 else FewShotVolumeInferer(roi_size=size)
    image, _, _ = episode(grid, batch=2)
    label = torch.zeros(1, *grid)
    for organ in range(1, 5):
        label[0, 3 * organ : 3 * organ + 3, 4:12] = organ
    counts = []
    alone = type(inferer)(**({} if len(size) == 2 else {"roi_size": size}))
    for organs in ([1], [1, 2, 3, 4], [1, 2, 3, 4]):
        calls = {"encode": 0, "relate": 0}
        for name in calls:
            method = getattr(type(network), name)

            def counted(*arguments, name=name, method=method, calls=calls):
                calls[name] += 1
                return method(network, *arguments)

            monkeypatch.setattr(network, name, counted)
        query = MetaTensor(image[:1])
        query.meta.update(support_image=[image[1]], support_label=[label], support_organs=torch.tensor(organs))
        assert (alone if len(organs) == 1 else inferer)(query, network).shape == (1, 1 + len(organs), *grid)
        counts.append(calls)
    assert counts == [{"encode": 2, "relate": 1}, {"encode": 2, "relate": 1}, {"encode": 1, "relate": 1}]


@pytest.mark.gpu
def test_gpu_is_close_to_cpu(case):
    network, size = case
    image, support, mask = episode(size)
    answer = network(image, support, mask).exp()
    there = network.cuda()(image.cuda(), support.cuda(), mask.cuda()).exp().cpu()
    torch.testing.assert_close(there, answer, atol=1e-3, rtol=1e-3)
