"""A bundle trained for seconds on the tiny scans and packaged with its weights, as a user would do it."""

import shutil
from pathlib import Path

import yaml

from tests.e2e.tiny import SMALL_TRAINING, UNLABELLED

BUNDLES = Path(__file__).parents[2] / "bundles"
# Overlays that the training starts with: MONAI Label trains without labels.
TRAINED_WITH = {bundle: training["overlays"] for bundle, training in UNLABELLED.items()}
_OWN = {bundle: training["settings"] for bundle, training in UNLABELLED.items()}
_STEPS = {"batch_size": 1, "episodes_per_epoch": 20, "max_epochs": 4, "val_interval": 4}


def copy_with_tiny_overlay(bundle, folder):
    """Copy a bundle beside its like, with an overlay ``tiny`` that makes it small and its training short."""
    ignored = shutil.ignore_patterns("models", "cache", "eval", "__pycache__")
    copy = shutil.copytree(BUNDLES / bundle, folder / "bundles" / bundle, ignore=ignored)
    settings = {**SMALL_TRAINING[bundle], **_OWN.get(bundle, {}), **_STEPS}
    text = "# Overlay on train.yaml and inference.yaml: tiny.\n" + yaml.safe_dump(settings)
    (copy / "configs" / "tiny.yaml").write_text(text)
    return copy


def train_and_package(bundle, folder, run_python, dataset):
    """Return the packaged folder; its checkpoint is ``folder/models/model.pt`` too."""
    source = copy_with_tiny_overlay(bundle, folder)
    overlays = [*TRAINED_WITH.get(bundle, []), "tiny"]
    configs = str([str(source / "configs" / f"{name}.yaml") for name in ("train", *overlays)])
    places = {"ckpt_dir": "models", "output_dir": "eval", "cache_dir": "cache"}
    arguments = [part for key, name in places.items() for part in (f"--{key}", str(folder / name))]
    run_python(
        *("-m", "monai.bundle", "run", "training", "--config_file", configs, "--dataset_dir", dataset, *arguments)
    )
    package(source, folder, run_python, overlays)
    return folder / "dist" / bundle


def package(source, folder, run_python, overlays, *arguments):
    """Run ``fewshot package``."""
    weights = ("--checkpoint", folder / "models" / "model.pt", "--config", ",".join(overlays))
    return run_python("-m", "common.tools.cli", "package", source, *weights, "--output", folder / "dist", *arguments)
