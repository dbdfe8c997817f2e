"""Every bundle's configuration follows the rules, and each rule is shown to fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from common.configuration.files import SHARED, all_configs
from common.configuration.workflow import config_file
from tests.bundles.config_rules import (
    BUNDLE_ROOT,
    FILE_RULES,
    METADATA_KEYS,
    STANDALONE,
    TENSOR_KEYS,
    Document,
    commented_hyperparameters,
    common_in_targets,
    displayable_configs,
    folder_name,
    from_the_weights,
    header,
    import_ids,
    imports,
    inverts,
    metadata_keys,
    no_device,
    no_initialize,
    no_macros,
    numbers,
    one_run_list,
    overlay_ids,
    parse,
)

BUNDLES = sorted(path for path in (Path(__file__).parents[2] / "bundles").glob("*") if (path / "configs").is_dir())
CONFIGS = [path for bundle in BUNDLES for path in sorted((bundle / "configs").rglob("*.yaml"))]
CONFIGS += sorted(SHARED.glob("*.yaml"))
FILES = [
    *("about.yaml", "configs/train.yaml", "configs/inference.yaml", "configs/metadata.json", "docs/README.md"),
    *("scripts/__init__.py", "scripts/network.py"),
]


def load(bundle: Path, name: str) -> Document:
    return parse(config_file(bundle, name).read_text(), name)


def owner(path: Path) -> str:
    return next((bundle.name for bundle in BUNDLES if path.is_relative_to(bundle)), "shared")


def test_there_are_bundles() -> None:
    assert BUNDLES


@pytest.mark.parametrize("rule", FILE_RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{owner(path)}-{path.stem}")
def test_config(path: Path, rule: Callable[[Document], list[str]]) -> None:
    assert rule(parse(path.read_text(), path.stem)) == []


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
class TestBundle:
    def test_files(self, bundle: Path) -> None:
        assert [name for name in FILES if not (bundle / name).is_file()] == []
        assert folder_name(bundle.name) == []

    def test_metadata(self, bundle: Path) -> None:
        assert metadata_keys(json.loads((bundle / "configs" / "metadata.json").read_text())) == []

    def test_inference(self, bundle: Path) -> None:
        inference = load(bundle, "inference").content
        assert from_the_weights(load(bundle, "train").content, inference) == []
        assert inverts(inference) == []
        assert no_device(inference) == []

    def test_overlays(self, bundle: Path) -> None:
        bases = {name: load(bundle, name) for name in STANDALONE}
        overlays = [path.stem for path in all_configs(bundle / "configs") if path.stem not in STANDALONE]
        for name in overlays:
            base = bases["inference" if name.startswith("inference") else "train"]
            assert (name, overlay_ids(base, load(bundle, name))) == (name, [])


# ---------------------------------------------------------------------------------------------- each rule can be broken

GOOD = f"""# Train a network.

imports: ["$import os", "$import scripts"]
bundle_root: {BUNDLE_ROOT}
device: "$torch.device('cpu')"
alpha: 20.0  # scale of the score; paper 20
size: [256, 256]  # in-plane grid in pixels
organs:  # label values
  - 1
  - 2
# about the network
network_def: {{_target_: common.networks.Net, alpha: "@alpha"}}
train:
  trainer: {{_target_: monai.engines.SupervisedTrainer, max_epochs: 1}}
run: ["$@train#trainer.run()"]
training: "@run"
"""

BROKEN = [
    (header, "# Train a network.", "# ------"),
    (no_initialize, "device:", 'initialize: ["$monai.utils.set_determinism(seed=1)"]\ndevice:'),
    (one_run_list, "training:", 'validate: ["$@train#trainer.run()"]\ntraining:'),
    (one_run_list, '["$@train#trainer.run()"]', "$@train#trainer.run()"),
    (one_run_list, '"@run"', '"%run"'),
    (imports, '"$import scripts"', '"$import scripts", "$import common"'),
    (imports, BUNDLE_ROOT, "."),
    (numbers, "alpha: 20.0", "alpha: 2e1"),
    (numbers, "max_epochs: 1", "lr: 1e-3"),
    (import_ids, "size:", "importance:"),
    (import_ids, "max_epochs: 1", "reimport: []"),
    (no_macros, '"@alpha"', '"%alpha"'),
    (displayable_configs, "size:", "displayable_configs: {support: a}\nsize:"),
    (displayable_configs, '"@alpha"', '"@displayable_configs#alpha"'),
    (common_in_targets, '"$import os"', '"$import common"'),
    (common_in_targets, '"@alpha"', '"$common.networks.scale()"'),
    (common_in_targets, "common.networks.Net", '"common.networks.Net"'),
    (commented_hyperparameters, "  # scale of the score; paper 20", ""),
    (commented_hyperparameters, "20.0  # scale of the score; paper 20", '"# 20"'),
    (commented_hyperparameters, "[256, 256]  # in-plane grid in pixels", "[256, 256]  #"),
    (commented_hyperparameters, "  # label values", ""),
]


@pytest.mark.parametrize("rule", FILE_RULES, ids=lambda rule: rule.__name__)
def test_rules_accept_a_good_config(rule: Callable[[Document], list[str]]) -> None:
    assert rule(parse(GOOD)) == []


@pytest.mark.parametrize(("rule", "old", "new"), BROKEN, ids=[f"{rule.__name__}-{new}" for rule, _, new in BROKEN])
def test_rules_refuse_a_broken_config(rule: Callable[[Document], list[str]], old: str, new: str) -> None:
    assert GOOD.count(old) == 1
    assert len(rule(parse(GOOD.replace(old, new)))) == 1


def test_every_file_rule_is_shown_to_fail() -> None:
    assert {rule for rule, _, _ in BROKEN} == set(FILE_RULES)


def test_rules_of_overlays_and_inference() -> None:
    assert header(parse("# Overlay on train.yaml: quick.\nalpha: 1.0  # less\n", "quick")) == []
    assert len(header(parse("# Quick.\nalpha: 1.0  # less\n", "quick"))) == 1
    assert imports(parse('# x\n+imports: ["$import re"]\n', "quick")) == ["imports: belongs to the base"]
    plain, expression = (f"# x\ndisplayable_configs: {{support: {value}}}\n" for value in ("''", "$import os"))
    assert displayable_configs(parse(plain, "inference")) == []
    assert displayable_configs(parse(expression, "inference")) == ["displayable_configs#support: must be a plain value"]


@pytest.mark.parametrize("text", ["a: 1\na: 2", "a: {b: 1, b: 2}", "a: &x {b: 1}\nc: {<<: *x}"])
def test_duplicate_and_merge_keys_are_refused(text: str) -> None:
    with pytest.raises(yaml.constructor.ConstructorError, match="duplicate key|merge key"):
        parse(text)


def test_inference_must_not_repeat_what_comes_with_the_weights() -> None:
    train = parse(GOOD).content
    good = {name: f"$@trained.{name}()" for name in ("network_def", "prepare", "inferer")}
    assert from_the_weights(train, good) == []
    assert from_the_weights(train, {**good, "alpha": 20.0}) == ["alpha: comes with the weights"]
    assert from_the_weights(train, {**good, "network_def": train["network_def"]}) == ["network_def: not from trained"]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("alpha: 1.0", []),
        ("train#trainer#max_epochs: 2", []),
        ("+network_def: {kappa: 0.5}", []),
        ("extra: 1  # needed", []),
        ("# needed\nextra: {a: 1}\nextra#a: 2", []),
        ("extra: 1", ["extra: new, and no comment says why"]),
        ("train#trainer#amp: true", ["train#trainer#amp: new, and no comment says why"]),
        ("train#tester#amp: true", ["train#tester#amp: train#tester is not in train.yaml"]),
    ],
)
def test_overlays_override(text: str, faults: list[str]) -> None:
    assert overlay_ids(parse(GOOD), parse(text, "quick")) == faults


def test_metadata_rules() -> None:
    tensor = dict.fromkeys(TENSOR_KEYS, 1)
    prediction = {**tensor, "channel_def": {"0": "background", "1": "foreground"}}
    good = {**dict.fromkeys(METADATA_KEYS, ""), "version": "0.1.0", "changelog": {"0.1.0": "first"}}
    good["network_data_format"] = {"inputs": {"image": tensor}, "outputs": {"pred": prediction}}
    assert metadata_keys(good) == []
    assert metadata_keys({key: value for key, value in good.items() if key != "task"}) == ["task: missing"]
    assert metadata_keys({**good, "version": "0.2.0"}) == ["changelog: does not list the version"]
    swapped = {"inputs": {"support_image": tensor, "image": tensor}, "outputs": {"pred": tensor}}
    assert len(metadata_keys({**good, "network_data_format": swapped})) == 2


def test_device_must_not_be_reached() -> None:
    good = {"device": "cpu", "inferer": {"size": "@size"}, "size": 1, "network": "$@network_def.to(@device)"}
    assert no_device(good) == []
    assert no_device({**good, "size": "$2 if str(@device) == 'cpu' else 8"}) == ["inferer: refers to device"]


def test_postprocessing_and_folder_name_rules() -> None:
    assert inverts({"postprocessing": {"transforms": [{"_target_": "monai.transforms.Invertd"}]}}) == []
    assert inverts({"postprocessing": {"transforms": [{"_target_": "Activationsd"}]}}) == ["postprocessing: no Invertd"]
    assert folder_name("adnet") == []
    assert [len(folder_name(name)) for name in ("my_deepedit", "deepgrow", "detections", "adnet_v2")] == [1] * 4
