"""Result files as cross-validation writes them."""

import json

import pytest

ORGANS = ("left kidney", "right kidney", "spleen", "liver")


@pytest.fixture
def write_run(tmp_path):
    """Write one run; ``dice`` gives for each organ the values of its cases, for ``protocols`` alike."""

    def write(dice, fold=0, repeat=0, protocols=("ep1",), folder=tmp_path, manifest=None, **changes):
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
        content = {"run": run, "cases": cases, "manifest": manifest or {"device": "cpu"}, "training": {}}
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def same():
    """Give every organ the same values."""
    return lambda *values: {organ: list(values) for organ in ORGANS}
