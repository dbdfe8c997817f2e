"""MONAI's own property check on every configuration, overlays on their base; it instantiates what it checks."""

import sys
from pathlib import Path

import pytest
import torch

from common.workflow import bundle_workflow
from tests.e2e.tiny import SMALL, SMALL_TRAINING

ROOT = Path(__file__).parents[2] / "bundles"
# Overlays that stand on inference.yaml alone or need processes of their own, and those of use for training only.
INFERENCE_ONLY = {"inference_3d", "multi_gpu_train"}
TRAINING_ONLY = {"evaluate", "multi_gpu_train", "train_supervised", "train_ssl", "train_3d", "finetune", "vssl"}


def overlays(bundle):
    names = {path.stem for path in (ROOT / bundle / "configs").glob("*.yaml")}
    return sorted(names - {"train", "inference"})


TRAINING = [(bundle, name) for bundle in SMALL for name in ["", *overlays(bundle)] if name not in INFERENCE_ONLY]
INFERENCE = [(bundle, name) for bundle in SMALL for name in ["", *overlays(bundle)] if name not in TRAINING_ONLY]


@pytest.fixture(autouse=True)
def own_scripts(monkeypatch):
    """Forget the `scripts` of the bundle before: a process that is no test has one bundle."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).parent != ROOT])
    for name in [name for name in sys.modules if name.split(".")[0] == "scripts"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(("bundle", "overlay"), TRAINING, ids=map("-".join, TRAINING))
def test_training_configurations(dataset, tmp_path, bundle, overlay):
    places = {name: str(tmp_path / name) for name in ("ckpt_dir", "output_dir", "cache_dir")}
    settings = {**SMALL_TRAINING[bundle], **places, "dataset_dir": str(dataset), "challenge": None}
    if overlay == "finetune":
        settings["pretrained"] = str(tmp_path / "model.pt")
        network = bundle_workflow(ROOT / bundle, ["train"], **settings).parser.get_parsed_content("network")
        torch.save(network.state_dict(), settings["pretrained"])
    workflow = bundle_workflow(ROOT / bundle, ["train", *([overlay] if overlay else [])], **settings)
    assert workflow.check_properties() in (None, [])


@pytest.mark.parametrize(("bundle", "overlay"), INFERENCE, ids=map("-".join, INFERENCE))
def test_inference_configurations(dataset, bundle, overlay):
    configs = ["inference", *([overlay] if overlay else [])]
    workflow = bundle_workflow(ROOT / bundle, configs, "infer", **SMALL[bundle], dataset_dir=str(dataset))
    assert workflow.check_properties() in (None, [])
    items = workflow.parser.get_parsed_content("dataset#data")
    assert [list(item) for item in items] == [["image"]] * 5


@pytest.mark.parametrize("bundle", [name for name in SMALL if name != "lsnet"])
def test_unlabelled_scans_train_without_validation(dataset, tmp_path, bundle):
    settings = {
        **SMALL_TRAINING[bundle],
        "dataset_dir": str(dataset / "imagesTr"),
        "fold": None,
        "output_dir": str(tmp_path),
    }
    parser = bundle_workflow(ROOT / bundle, ["train"], **settings).parser
    assert len(parser.get_parsed_content("train#dataset").data) == 6
    handlers = parser.get_parsed_content("train#handlers")
    assert "ValidationHandler" not in [type(handler).__name__ for handler in handlers]


@pytest.mark.parametrize("bundle", [name for name in SMALL if name != "lsnet"])
def test_training_never_sees_label_maps_unless_setting_2_needs_them(dataset, tmp_path, bundle):
    settings = {**SMALL_TRAINING[bundle], "dataset_dir": str(dataset), "cache_dir": str(tmp_path)}
    items = bundle_workflow(ROOT / bundle, ["train"], **settings).parser.get_parsed_content("train#dataset").data
    assert len(items) == 3 and not any("label" in item for item in items)
    excluding = bundle_workflow(ROOT / bundle, ["train"], **settings, excluded_labels=[1]).parser
    assert all("label" in item for item in excluding.get_parsed_content("train#dataset").data)


def test_unknown_configuration_is_named():
    with pytest.raises(ValueError, match=r"no configuration .*fast\.yaml; there are: .*quick"):
        bundle_workflow(ROOT / "adnet", ["train", "fast"])
