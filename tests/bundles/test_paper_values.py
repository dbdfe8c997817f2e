"""What a paper's configuration is: every number of train.yaml and of the data overlays, with where it comes from."""

from pathlib import Path

import pytest
import yaml

from common.workflow import merged_config

BUNDLES = Path(__file__).parents[2] / "bundles"

# id: (value, source). "code" is the authors' released code, "silent" says that the paper has no value.
ADNET = {
    "upper_percentile": (99.5, "ADNet"),
    "image_size": (256, "ADNet"),
    "supervoxel_min_size": (5000, "ADNet: 5000 CHAOS, 1000 MS-CMRSeg"),
    "min_area": (200, "ADNet"),
    "encoder_depth": (101, "ADNet"),
    "encoder_stages": (4, "ADNet"),
    "init": ("coco", "ADNet"),
    "alpha": (20.0, "ADNet"),
    "kappa": (0.5, "ADNet"),
    "threshold": (-10.0, "ADNet, code"),
    "batch_size": (1, "ADNet"),
    "episodes_per_epoch": (1000, "ADNet, code"),
    "max_epochs": (50, "ADNet: 50 000 episodes"),
    "learning_rate": (0.001, "ADNet"),
    "lr_decay": (0.95, "ADNet, code; 0.98 in the paper"),
    "weight_decay": (0.0005, "ADNet"),
    "background_weight": (0.1, "ADNet"),
    "alignment_weight": (1.0, "ADNet"),
    "threshold_weight": (1.0, "ADNet"),
    "pool_at": ("image", "ADNet, code"),
    "encode": ("together", "ADNet, code"),
    "optimizer#momentum": (0.9, "ADNet"),
}
SSL_ALPNET = {
    "upper_percentile": (99.5, "SSL-ALPNet, code"),
    "image_size": (256, "SSL-ALPNet"),
    "superpixel_min_size": (400, "SSL-ALPNet, code"),
    "superpixel_sigma": (1.0, "SSL-ALPNet, code"),
    "superpixel_scale": (1.0, "SSL-ALPNet, code"),
    "superpixel_threshold": (50.0001, "SSL-ALPNet, code: 50.0001 CHAOS, 1e-4 CT"),
    "encoder_depth": (101, "SSL-ALPNet"),
    "encoder_stages": (4, "SSL-ALPNet"),
    "init": ("coco", "SSL-ALPNet"),
    "window": (4, "SSL-ALPNet, code"),
    "inference_window": (2, "SSL-ALPNet, code"),
    "cell_threshold": (0.95, "SSL-ALPNet"),
    "alpha": (20.0, "SSL-ALPNet"),
    "batch_size": (1, "SSL-ALPNet, code"),
    "episodes_per_epoch": (1000, "SSL-ALPNet, code"),
    "max_epochs": (100, "SSL-ALPNet: 100 000 episodes"),
    "learning_rate": (0.001, "SSL-ALPNet"),
    "lr_decay": (0.95, "SSL-ALPNet, code; 0.98 in the paper"),
    "weight_decay": (0.0005, "SSL-ALPNet, code"),
    "background_weight": (0.05, "SSL-ALPNet"),
    "alignment_weight": (1.0, "SSL-ALPNet, code"),
    "optimizer#momentum": (0.9, "SSL-ALPNet, code"),
}
CRAPNET = {
    **{name: (value, source) for name, (value, source) in SSL_ALPNET.items() if "window" not in name},
    "feature_channels": (256, "CRAPNet"),
    "blocks": (5, "CRAPNet"),
    "branches": (2, "CRAPNet"),
    "inner_channels": (128, "CRAPNet, silent"),
    "times_pixels": (True, "CRAPNet, silent; a non-local mean"),
    "pool_factor": (4, "CRAPNet"),
    "pool_kernel": (5, "CRAPNet, silent"),
    "gamma_target": ("query", "CRAPNet"),
    "geometry_target": ("query", "CRAPNet"),
}
ALPNET3D = {
    "upper_percentile": (99.5, "3D ALPNet, silent; ADNet's"),
    "image_size": (256, "3D ALPNet"),
    "volume_size": ([128, 128, 24], "3D ALPNet"),
    "supervoxel_segments": (10, "3D ALPNet"),
    "encoder_channels": ([32, 64, 128, 256], "3D ALPNet"),
    "feature_channels": (32, "3D ALPNet"),
    "window": ([16, 16, 6], "3D ALPNet: 8 x 8 x 4 cells"),
    "cell_threshold": (0.95, "3D ALPNet"),
    "alpha": (20.0, "3D ALPNet"),
    "batch_size": (1, "3D ALPNet"),
    "episodes_per_epoch": (16, "3D ALPNet"),
    "max_epochs": (2000, "3D ALPNet"),
    "learning_rate": (0.0001, "3D ALPNet"),
    "weight_decay": (0.01, "3D ALPNet, silent; PyTorch's default"),
    "keep_interval": (200, "3D ALPNet"),
    "alignment_weight": (1.0, "3D ALPNet"),
}
LSNET = {
    "upper_percentile": (99.5, "LSNet, silent; ADNet's"),
    "image_size": (256, "LSNet: 512, with visceral.yaml"),
    "encoder_depth": (50, "LSNet"),
    "feature_channels": (256, "LSNet, by way of CANet"),
    "dropout": (0.5, "LSNet, by way of CANet"),
    "init": ("imagenet", "LSNet"),
    "grid_fraction": (0.125, "LSNet: 1/8"),
    "overlap": (0.5, "LSNet"),
    "scale": (20.0, "LSNet, silent; the other methods'"),
    "min_area_fraction": (0.005, "LSNet, silent; SE-Net's"),
    "batch_size": (4, "LSNet"),
    "episodes_per_epoch": (1000, "LSNet: 10 000 steps, with max_epochs"),
    "max_epochs": (40, "LSNet: 10 000 steps of 4 episodes"),
    "learning_rate": (0.001, "LSNet"),
    "lr_decay": (0.1, "LSNet"),
    "lr_step": (2500, "LSNet"),
    "weight_decay": (0.0005, "LSNet, silent"),
    "background_weight": (1.0, "LSNet: unweighted"),
    "optimizer#momentum": (0.9, "LSNet, silent"),
}
PAPERS = {"adnet": ADNET, "ssl_alpnet": SSL_ALPNET, "alpnet3d": ALPNET3D, "crapnet": CRAPNET, "lsnet": LSNET}

# Of each data set, in every bundle: what the papers that use it do to its scans.
DATA = {
    "chaos_t2": {"challenge": "chaos", "axcodes": "ALS", "spacing": [1.25, 1.25, 7.7], "intensity_window": None},
    "mscmr": {"challenge": "mscmr", "axcodes": None, "spacing": [1.25, 1.25, 7.99], "intensity_window": None},
    "sabs": {"challenge": "sabs", "axcodes": "RAS", "spacing": [0, 0, 0], "intensity_window": [-125, 275]},
    "visceral": {"challenge": "visceral", "spacing": [0, 0, 0], "image_size": 512, "intensity_window": [-125, 275]},
}
SIZES = [
    ("adnet", "chaos_t2", "supervoxel_min_size", 5000),  # ADNet
    ("adnet", "mscmr", "supervoxel_min_size", 1000),  # ADNet
    ("ssl_alpnet", "chaos_t2", "superpixel_threshold", 50.0001),  # SSL-ALPNet, code
    ("ssl_alpnet", "sabs", "superpixel_threshold", 1e-4),  # SSL-ALPNet, code
    ("ssl_alpnet", "mscmr", "supervoxel_min_size", 1000),  # ADNet
    ("ssl_alpnet", "train_supervised", "min_area", 100),  # SSL-ALPNet, code
    ("ssl_alpnet", "panet", "background_weight", 0.05),  # SSL-ALPNet, code
    ("ssl_alpnet", "panet", "skip_empty_alignment", False),  # SSL-ALPNet, code
    ("adnet", "train_3d", "encode", "separate"),  # ADNet, code
    ("adnet", "train_3d", "pool_at", "features"),  # ADNet, code
    ("adnet", "train_3d", "roi_size", None),  # ADNet, section 5.4
    ("crapnet", "sabs", "superpixel_min_size", 400),  # CRAPNet, silent; SSL-ALPNet's
    ("lsnet", "visceral", "fold_organs", [1, 2, 3, 4, 5, 6]),  # LSNet: liver, spleen, kidneys, psoas
    ("lsnet", "visceral", "intensity_std", 255.0),  # LSNet, silent; intensities from 0 to 1
]


def values(bundle, *overlays):
    merged = merged_config(BUNDLES / bundle, ["train", *overlays])
    return {**merged, "optimizer#momentum": merged["optimizer"].get("momentum")}


@pytest.mark.parametrize("overlays", [(), ("paper",), ("chaos_t2", "paper"), ("fast", "paper")], ids=" ".join)
@pytest.mark.parametrize("bundle", PAPERS)
def test_numbers_are_the_papers(bundle, overlays):
    found = values(bundle, *overlays)
    wrong = {name: (found.get(name), *entry) for name, entry in PAPERS[bundle].items() if found.get(name) != entry[0]}
    assert wrong == {}


@pytest.mark.parametrize("bundle", PAPERS)
def test_the_table_has_every_number(bundle):
    """What the table leaves out is named here: how a training runs, and choices that ablations and methods make."""
    free = {"seed", "val_interval", "save_interval", "rank", "cache_bytes", "shots", "fold", "spacing", "roi_size"}
    free |= {"supervoxel_compactness", "supervoxel_threshold", "min_voxels", "contrast", "brightness"}
    free |= {
        "intensity_probability",
        "gamma",
        "excluded_labels",
        "added_classes",
        "test_organs",
        "fold_organs",
        "overlap",
    }
    free |= {"supervoxel_min_size", "superpixel_threshold", "min_area"}
    content = yaml.safe_load((BUNDLES / bundle / "configs" / "train.yaml").read_text())
    numbers = {
        name
        for name, value in content.items()
        if isinstance(value, int | float | list) and not isinstance(value, bool) and name not in ("imports", "run")
    }
    assert numbers - free <= set(PAPERS[bundle])


@pytest.mark.parametrize("dataset", DATA)
@pytest.mark.parametrize("bundle", PAPERS)
def test_data_are_prepared_as_published(bundle, dataset):
    found = values(bundle, dataset)
    assert {name: found[name] for name in DATA[dataset]} == DATA[dataset]


@pytest.mark.parametrize(("bundle", "dataset", "name", "value"), SIZES)
def test_sizes_on_a_data_set(bundle, dataset, name, value):
    assert values(bundle, dataset, "paper")[name] == value
