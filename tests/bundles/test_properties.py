"""MONAI's own property check on every configuration, overlays on their base; it instantiates what it checks."""

import pytest

from common.workflow import bundle_workflow
from tests.e2e.tiny import SMALL, SMALL_TRAINING, save, scan


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    for number in range(1, 7):
        image, label = scan(number)
        save(folder / f"imagesTr/case_{number}.nii.gz", image)
        save(folder / f"labelsTr/case_{number}.nii.gz", label)
    return str(folder)


@pytest.mark.parametrize("overlay", [[], ["quick"], ["evaluate"], ["paper_mscmr"], ["cpu_chaos_t2"]], ids=str)
def test_training_configurations(bundle_root, dataset, tmp_path, overlay):
    places = {name: str(tmp_path / name) for name in ("ckpt_dir", "output_dir", "cache_dir")}
    settings = {**SMALL_TRAINING, **places, "dataset_dir": dataset, "challenge": None}
    workflow = bundle_workflow(bundle_root("adnet"), ["train", *overlay], **settings)
    assert workflow.check_properties() in (None, [])


@pytest.mark.parametrize("overlay", [[], ["quick"], ["paper_mscmr"], ["cpu_chaos_t2"]], ids=str)
def test_inference_configurations(bundle_root, dataset, overlay):
    workflow = bundle_workflow(bundle_root("adnet"), ["inference", *overlay], "infer", **SMALL, dataset_dir=dataset)
    assert workflow.check_properties() in (None, [])
    items = workflow.parser.get_parsed_content("dataset#data")
    assert [list(item) for item in items] == [["image"]] * 5


def test_unlabelled_scans_train_without_validation(bundle_root, dataset, tmp_path):
    settings = {**SMALL_TRAINING, "dataset_dir": dataset + "/imagesTr", "fold": None, "output_dir": str(tmp_path)}
    parser = bundle_workflow(bundle_root("adnet"), ["train"], **settings).parser
    assert len(parser.get_parsed_content("train#dataset#data")) == 6
    handlers = parser.get_parsed_content("train#handlers")
    assert "ValidationHandler" not in [type(handler).__name__ for handler in handlers]


def test_training_never_sees_label_maps_unless_setting_2_needs_them(bundle_root, dataset, tmp_path):
    settings = {**SMALL_TRAINING, "dataset_dir": dataset, "cache_dir": str(tmp_path)}
    root = bundle_root("adnet")
    items = bundle_workflow(root, ["train"], **settings).parser.get_parsed_content("train#dataset#data")
    assert len(items) == 3 and not any("label" in item for item in items)
    excluding = bundle_workflow(root, ["train"], **settings, excluded_labels=[1]).parser
    assert all("label" in item for item in excluding.get_parsed_content("train#dataset#data"))


def test_unknown_configuration_is_named(bundle_root):
    with pytest.raises(ValueError, match=r"no configuration .*fast\.yaml; there are: .*quick"):
        bundle_workflow(bundle_root("adnet"), ["train", "fast"])
