"""ADNet in 3D: where its mask is pooled, and its overlays, which train a few steps and segment with the result."""

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from torch import nn

from common.prototypes import cosine_similarity
from tests.bundles.networks import BUNDLES, ResNeXt3DEncoder, episode, network_module

adnet = network_module("adnet")
CONFIGS = BUNDLES / "adnet" / "configs"
TINY = {
    **{"image_size": 64, "spacing": [2.0, 2.0, 6.0], "patch_size": [48, 48, 4]},
    **{"encoder_layers": [1, 1, 1, 1], "encoder_width": 8, "encoder_cardinality": 4},
}


def config(name):
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


@pytest.fixture
def network():
    torch.manual_seed(0)
    encoder = ResNeXt3DEncoder(feature_channels=8, layers=(1, 1, 1, 1), width=4, cardinality=2)
    return adnet.ADNet(encoder, pool_at="features")


def test_mask_is_brought_down_to_the_features():
    """Nearest neighbour keeps every second voxel; features brought up to the mask would see the others too."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 1, 2, 2, 1, 1)
    mask = torch.tensor([1.0, 1.0, 0.0, 1.0]).reshape(1, 1, 1, 4, 1, 1)
    query = torch.tensor([0.8, 0.6]).reshape(1, 2, 1, 1, 1)
    down = adnet.ADNet(nn.Identity(), pool_at="features").segment(query, features, mask)
    expected = 0.5 * (-10 + 20 * 0.8)  # the prototype is (1, 0)
    assert down[0, 1].item() == pytest.approx(expected, abs=1e-3)
    up = adnet.ADNet(nn.Identity()).segment(query, features, mask)
    prototype = torch.tensor([1 + 0.75 + 0, 0 + 0.25 + 1]).reshape(1, 1, 2)
    assert up[0, 1].item() == pytest.approx(0.5 * (-10 + 20 * cosine_similarity(query, prototype).item()), abs=1e-3)


def test_windows_make_one_prototype_weighted_by_their_voxels(network):
    """Two halves of a volume as shots score like the volume; so do three windows, one of which shows none of it."""
    features, query = torch.randn(1, 1, 8, 4, 4, 6), torch.randn(1, 8, 4, 4, 6)
    mask = (torch.rand(1, 1, 1, 4, 4, 6) > 0.5).float()
    mask[..., 4:] = 0
    mask[..., 0, :, :3] = 0
    whole = network.segment(query, features, mask)
    halves = [torch.cat(part.split(2, dim=5), dim=1) for part in (features, mask)]
    torch.testing.assert_close(network.segment(query, *halves), whole)


def test_support_and_query_have_batch_statistics_of_their_own():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv3d(1, 4, 1), nn.BatchNorm3d(4))
    image, support, mask = episode((6, 6, 4), shots=1)
    image = 5 * image + 3  # other statistics than the support's
    separate, together = (
        adnet.ADNet(encoder, pool_at="features", encode=how).train() for how in ("separate", "together")
    )
    for network, features in (
        (separate, (encoder(support.flatten(0, 1)), encoder(image))),
        (together, encoder(torch.cat([support.flatten(0, 1), image])).split(len(image))),
    ):
        scores = network.segment(features[1], features[0][:, None], mask)
        expected = network.to_log_probabilities(scores, [6, 6, 4])
        torch.testing.assert_close(network(image, support, mask)["query"], expected)
    difference = separate(image, support, mask)["query"] - together(image, support, mask)["query"]
    assert difference.abs().max() > 0.1


def test_probability_is_upsampled_with_aligned_corners_along_all_axes():
    probability = torch.tensor([0.1, 0.9]).reshape(1, 1, 2, 1, 1).expand(1, 1, 2, 2, 2)
    scores = torch.cat([torch.zeros_like(probability), probability.logit()], dim=1)
    answer = adnet.ADNet(nn.Identity()).to_log_probabilities(scores, [4, 4, 2]).exp()[0, 1]
    torch.testing.assert_close(answer[:, 1, 1], torch.tensor([0.1, 0.3666666667, 0.6333333333, 0.9]))


def test_training_and_scripted_inference(network):
    image, support, mask = episode((20, 24, 4), batch=2, shots=2)
    outputs = network.train()(image, support, mask)
    assert outputs["query"].shape == (2, 2, 20, 24, 4) and outputs["support"].shape == (2, 2, 2, 3, 3, 4)
    assert outputs["support_mask"].shape == (2, 2, 1, 3, 3, 4)
    loss = adnet.ADNetLoss()(outputs, mask[:, 0])
    loss.backward()
    assert loss.isfinite() and network.threshold.grad.isfinite()
    answer = network.eval()(image, support, mask)
    torch.testing.assert_close(torch.jit.script(network)(image, support, mask), answer, atol=1e-4, rtol=0)


def test_published_settings():
    train = config("train_3d")
    assert train["patch_size"] == [215, 215, 10]
    assert (train["min_voxels"], train["max_shift"], train["pool_at"]) == (200, 50, "features")
    assert train["encode"] == "separate" and train["roi_size"] is None


@pytest.mark.slow
def test_overlays_train_and_segment(run_bundle, dataset, options, tmp_path):
    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    steps = {"episodes_per_epoch": 20, "max_epochs": 1, "val_interval": 1, "supervoxel_min_size": 200, "min_voxels": 50}
    run_bundle(
        *("run", "training", "--config_file", f"['{CONFIGS}/train.yaml','{CONFIGS}/train_3d.yaml']"),
        *options(dataset_dir=dataset, num_workers=1, **TINY, **places, **steps),
    )
    files = {
        "image": dataset / "imagesTr/case_1.nii.gz",
        "support_image": dataset / "imagesTr/case_3.nii.gz",
        "support_label": dataset / "labelsTr/case_3.nii.gz",
    }
    for support_slices in ("all", "one"):
        out = tmp_path / support_slices
        run_bundle(
            *("run", "--config_file", f"{CONFIGS}/inference.yaml"),
            *options(**files, checkpoint=tmp_path / "ckpt_dir/model.pt", output_dir=out),
            *options(support_slices=support_slices),
        )
        answer, stored = nib.load(out / "case_1_seg.nii.gz"), nib.load(files["image"])
        assert answer.shape == stored.shape and np.allclose(answer.affine, stored.affine)
        assert set(np.unique(answer.get_fdata())) <= {0, 1, 4}
