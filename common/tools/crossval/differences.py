"""In what a run's configuration differs from the paper's, read from the bundle's YAML files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...configuration.workflow import has_config, merged_config
from .published import scale_overlays
from .runs import Run

# Settings that shape no weight and no score.
_NEUTRAL = {
    "dataset_dir", "challenge", "fold", "seed", "val_interval", "save_interval", "cache_dir", "ckpt_dir", "output_dir",
    "num_workers", "distances", "protocols", "episodes_per_epoch", "max_epochs", "checkpoint",
    "intensity_mean", "intensity_std",
}  # fmt: skip

_INIT = {"coco": "MS-COCO weights", "imagenet": "ImageNet weights", "none": "random weights"}


class Difference(NamedTuple):
    """One setting: its value in the paper's configuration and in ours."""

    name: str
    paper: str
    ours: str


def differences(run: Run, bundles: Path) -> list[Difference]:
    """List the settings in which a run differs from the paper's configuration of its method.

    The paper's configuration is train.yaml, whose values are the papers', with the overlays that make the method, that
    of the dataset, where there is one, and paper.yaml.

    Args:
        run: names bundle, overlays and overrides.
        bundles: folder of the bundles.

    Raises:
        InputError: a configuration is not there.
    """
    folder = bundles / run.bundle
    paper_names = ["train", *(name for name in (run.dataset, "paper") if has_config(folder, name))]
    paper_names += [name for name in run.configs[1:] if name not in scale_overlays(run)]
    paper, ours = _merged(folder, paper_names), _merged(folder, run.configs) | run.overrides
    changes = [
        Difference(name, _show(name, paper.get(name)), _show(name, ours.get(name)))
        for name in dict.fromkeys([*paper, *ours])
        if name not in _NEUTRAL and paper.get(name) != ours.get(name)
    ]
    counts = Difference("episodes", _episodes(paper), _episodes(ours))
    return changes if counts.paper == counts.ours else [*changes, counts]


def episodes(run: Run, bundles: Path) -> str:
    """Return the number of episodes that a run trains on."""
    return _episodes(_merged(bundles / run.bundle, run.configs) | run.overrides)


def paper_training(bundle: Path, dataset: str, overlays: Sequence[str] = ()) -> tuple[str, str, str]:
    """Say encoder, start and number of episodes of a bundle's paper on a dataset.

    Args:
        bundle: folder.
        dataset: name.
        overlays: that make the method.

    Raises:
        InputError: a configuration is not there.
    """
    names = ["train", *(name for name in (dataset, "paper") if has_config(bundle, name)), *overlays]
    paper = _merged(bundle, names)
    depth = None if "encoder_width" in paper else paper.get("encoder_depth")  # ADNet in 3D replaces the ResNet
    encoder = "the paper's own" if depth is None else f"ResNet-{depth}"
    return encoder, _show("init", paper.get("init", "none")), _episodes(paper)


def _merged(bundle: Path, names: list[str]) -> dict[str, Any]:
    """Merge configurations and leave out groups of objects, ``train`` and ``validate``."""
    merged = merged_config(bundle, names)
    values = {name: value for name, value in merged.items() if not name.startswith("overlays")}
    return {name: value for name, value in values.items() if not isinstance(value, dict) or "_target_" in value}


def _episodes(config: dict[str, Any]) -> str:
    each, epochs = config.get("episodes_per_epoch"), config.get("max_epochs")
    return str(each * epochs) if isinstance(each, int) and isinstance(epochs, int) else "unknown"


def _show(name: str, value: Any) -> str:
    """Write a value in short: objects by their class."""
    if isinstance(value, dict):
        return str(value.get("_target_", "...")).rsplit(".", 1)[-1]
    if isinstance(value, list):
        return f"[{', '.join(_show(name, item) for item in value)}]"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return _INIT.get(text, text) if name == "init" else text
