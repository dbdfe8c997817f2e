"""Result files as cross-validation writes them."""

import json

import numpy as np
import pytest

ORGANS = ("left kidney", "right kidney", "spleen", "liver")
LOSSES = {"iteration": [50, 100, 150], "loss": [2.0, 1.0, 0.5], "threshold": -9.87654}


@pytest.fixture
def write_run(tmp_path):
    """Write one run; ``dice`` gives for each organ the values of its cases, for ``protocols`` alike."""

    def write(dice, fold=0, repeat=0, protocols=("ep1",), folder=tmp_path, manifest=None, training=None, **changes):
        run = {
            "bundle": "adnet",
            "variant": "",
            "dataset": "chaos_t2",
            "setting": 1,
            "group": None,
            "fold": fold,
            "repeat": repeat,
            "seed": 2021 + repeat,
            "configs": ["train", *(changes.get("variant") or "").split("+")] if changes.get("variant") else ["train"],
            "overrides": {},
            **changes,
        }
        cases = [
            {"protocol": protocol, "case": f"f{fold}_{case}", "organ": organ, "dice": value}
            for protocol in protocols
            for organ, values in dice.items()
            for case, value in enumerate(values)
        ]
        parts = [run["bundle"], run["variant"], run["dataset"], f"s{run['setting']}", run["group"]]
        name = "-".join([*(part for part in parts if part), f"f{fold}", f"r{repeat}"])
        path = folder / f"{name}.json"
        content = {"run": run, "cases": cases, "manifest": manifest or {"device": "cpu"}, "training": training or {}}
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def same():
    """Give every organ the same values."""
    return lambda *values: {organ: list(values) for organ in ORGANS}


@pytest.fixture
def results(tmp_path, write_run):
    """Two methods, one of them over 5 folds of 4 cases with losses, one untrained."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "results"
    folder.mkdir()
    for fold in range(5):
        dice = {organ: rng.uniform(0.3, 0.9, 4).round(4).tolist() for organ in ORGANS}
        if fold == 4:
            dice["liver"][3] = None
        manifest = {
            "versions": {"torch": "2.13.0", "monai": "1.6.1"}, "device": "cpu", "config_sha256": "c" * 64,
            "data_sha256": "d" * 64, "train_seconds": 95.0,
        }  # fmt: skip
        options = {"protocols": ("ep1", "ep2"), "folder": folder, "manifest": manifest, "training": LOSSES}
        write_run(dice, fold, variant="chaos_t2+cpu", **options)
    write_run({organ: [0.1, None] for organ in ORGANS}, 0, folder=folder, overrides={"checkpoint": None})
    return folder
