"""MONAI's own property check on every configuration, overlays on their base; it instantiates what it checks."""

from pathlib import Path

import pytest
import torch

from common.configuration.files import all_configs
from common.configuration.workflow import bundle_workflow
from tests.e2e.tiny import SMALL, SMALL_TRAINING, UNLABELLED

pytestmark = pytest.mark.usefixtures("own_scripts")
ROOT = Path(__file__).parents[2] / "bundles"
# Behind evaluate.yaml, and those that stand on another overlay.
BEHIND = {
    "evaluate_thresholds": ["evaluate"],
    "evaluate_misalignment": ["evaluate"],
    "short": ["cpu"],
    "from_synthetic": ["cpu"],
    "added_classes": ["visceral"],
    "slices_one": ["train_3d"],
}


def overlays(base):
    """List bundle and overlay of those whose first line names the base, and each bundle without overlay."""
    chosen = [(bundle, "") for bundle in SMALL]
    for bundle in SMALL:
        for path in all_configs(ROOT / bundle / "configs"):
            first = path.read_text().partition(":")[0]
            if first.startswith("# Overlay on") and base in first and path.stem != "multi_gpu_train":
                chosen.append((bundle, path.stem))
    return chosen


TRAINING, INFERENCE = overlays("train.yaml"), overlays("inference.yaml")


@pytest.mark.parametrize(("bundle", "overlay"), TRAINING, ids=map("-".join, TRAINING))
def test_training_configurations(dataset, tmp_path, bundle, overlay):
    places = {name: str(tmp_path / name) for name in ("ckpt_dir", "output_dir", "cache_dir")}
    settings = {**SMALL_TRAINING[bundle], **places, "dataset_dir": str(dataset), "challenge": None}
    if overlay == "finetune":
        network = bundle_workflow(ROOT / bundle, ["train"], **settings).parser.get_parsed_content("network")
        settings["pretrained"] = str(tmp_path / "model.pt")
        torch.save(network.state_dict(), settings["pretrained"])
    workflow = bundle_workflow(
        ROOT / bundle, ["train", *BEHIND.get(overlay, []), *([overlay] if overlay else [])], **settings
    )
    assert workflow.check_properties() in (None, [])


@pytest.mark.parametrize(("bundle", "overlay"), INFERENCE, ids=map("-".join, INFERENCE))
def test_inference_configurations(dataset, bundle, overlay):
    configs = ["inference", *([overlay] if overlay else [])]
    workflow = bundle_workflow(
        ROOT / bundle, configs, "infer", **{**SMALL[bundle], "checkpoint": None}, dataset_dir=str(dataset)
    )
    assert workflow.check_properties() in (None, [])
    items = workflow.parser.get_parsed_content("dataset#data")
    assert [list(item) for item in items] == [["image", "answer", "mark"]] * 5


@pytest.mark.parametrize("bundle", [name for name in SMALL if name not in UNLABELLED])
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


@pytest.mark.parametrize("bundle", [name for name in SMALL if name not in UNLABELLED])
def test_training_never_sees_label_maps_unless_setting_2_needs_them(dataset, tmp_path, bundle):
    settings = {**SMALL_TRAINING[bundle], "dataset_dir": str(dataset), "cache_dir": str(tmp_path)}
    items = bundle_workflow(ROOT / bundle, ["train"], **settings).parser.get_parsed_content("train#dataset").data
    assert len(items) == 3 and not any("label" in item for item in items)
    excluding = bundle_workflow(ROOT / bundle, ["train"], **settings, excluded_labels=[1]).parser
    assert all("label" in item for item in excluding.get_parsed_content("train#dataset").data)


def test_unknown_configuration_is_named():
    with pytest.raises(ValueError, match=r"no configuration .*faster\.yaml; there are: .*quick"):
        bundle_workflow(ROOT / "adnet", ["train", "faster"])
