"""Settings travel with the weights: the path of a model is all that inference and evaluation need."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from common.configuration import trained
from common.configuration.workflow import bundle_workflow
from common.errors import InputError, guard
from common.files.record import read_record
from tests.e2e.tiny import SMALL, TEST_ORGANS

pytestmark = pytest.mark.usefixtures("own_scripts")
# Each preprocessing setting, changed alone: it has to matter.
CHANGED = {
    "axcodes": "LAS",
    "spacing": [2.5, 2.0, 6.0],
    "upper_percentile": 80.0,
    "intensity_window": [0, 400],
    "image_size": 48,
    "intensity_mean": 100.0,
    "intensity_std": 300.0,
}


@pytest.fixture
def files(dataset):
    names = {"image": "imagesTr/case_1", "support_image": "imagesTr/case_3", "support_label": "labelsTr/case_3"}
    return {key: str(dataset / f"{name}.nii.gz") for key, name in names.items()}


@pytest.fixture
def model(packaged):
    """Give ``model(bundle)``: weights of a training with an overlay, as the training wrote them."""
    return lambda bundle: packaged(bundle).parents[1] / "models/model.pt"


@pytest.fixture
def without_settings(tmp_path):
    """Give ``without_settings(path)``: the same weights as an older version wrote them."""

    def strip(path):
        torch.save(dict(torch.load(path)), tmp_path / "plain.pt")
        return tmp_path / "plain.pt"

    return strip


@pytest.fixture
def segment(bundle_root, tmp_path, files):
    """Give ``segment(bundle, checkpoint, **settings)``: the confidence of the answer."""
    number = iter(range(100))

    def run(bundle, checkpoint, **settings):
        out = tmp_path / f"out{next(number)}"
        places = {"checkpoint": str(checkpoint), "output_dir": str(out), "confidence": True, "device": "cpu"}
        workflow = bundle_workflow(bundle_root(bundle), ["inference"], "infer", **files, **places, **settings)
        guard(workflow.run)
        return [np.asarray(nib.load(out / f"case_1_{kind}.nii.gz").dataobj) for kind in ("seg", "confidence")]

    return run


@pytest.mark.parametrize("bundle", SMALL)
def test_the_path_alone_does_what_every_setting_spelled_out_does(bundle, model, without_settings, segment, capfd):
    alone = segment(bundle, model(bundle))
    assert "holds no settings" not in "".join(capfd.readouterr())
    spelled_out = segment(bundle, without_settings(model(bundle)), **SMALL[bundle])
    line = "plain.pt holds no settings of its training; those of train.yaml and those given by hand"
    assert "".join(capfd.readouterr()).count(line) == 1
    for one, other in zip(alone, spelled_out, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", CHANGED)
def test_each_preprocessing_setting_matters_and_may_not_contradict(name, model, without_settings, segment):
    weights = model("ssl_alpnet")
    small = {**SMALL["ssl_alpnet"], name: CHANGED[name]}
    confidence = segment("ssl_alpnet", weights)[1]
    assert not np.array_equal(segment("ssl_alpnet", without_settings(weights), **small)[1], confidence)
    with pytest.raises((InputError, SystemExit), match=rf"{name} is .* was trained with .*; leave it out"):
        segment("ssl_alpnet", weights, **{name: CHANGED[name]})


def test_what_agrees_may_be_given_and_use_may_be_chosen(model, segment):
    alone = segment("adnet", model("adnet"))
    again = segment("adnet", model("adnet"), **SMALL["adnet"])
    assert np.array_equal(alone[1], again[1])
    segment("adnet", model("adnet"), protocol="ep1", query_slices=[1, 4])


def test_overlays_named_again_must_agree(model, segment):
    segment("adnet", model("adnet"), **{"trained#configs": ["train", "pssl"]})  # says nothing of the network
    with pytest.raises((InputError, SystemExit), match="encoder_stages is .* was trained with"):
        segment("adnet", model("adnet"), **{"trained#configs": ["train", "quick"]})
    with pytest.raises((InputError, SystemExit), match="names nothing_here, and there is no"):
        segment("adnet", model("adnet"), **{"trained#configs": ["train", "nothing_here"]})


def test_an_overlay_of_inference_is_not_passed_over(model, segment, bundle_root, monkeypatch, tmp_path):
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("confidence: true\n")
    found = trained._config_file
    monkeypatch.setattr(trained, "_config_file", lambda name: str(overlay) if name == "mine" else found(name))
    with pytest.raises((InputError, SystemExit), match=r"mine\.yaml sets confidence, which belongs to inference"):
        segment("adnet", model("adnet"), **{"trained#configs": ["train", "mine"]})


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])
def test_evaluation_takes_the_settings_too(bundle, model, bundle_root, dataset, tmp_path):
    def score(name, checkpoint, **settings):
        places = {"checkpoint": str(checkpoint), "output_dir": str(tmp_path / name), "cache_dir": str(tmp_path / "c")}
        more = {"dataset_dir": str(dataset), "device": "cpu", "distances": False}
        workflow = bundle_workflow(bundle_root(bundle), ["train", "evaluate"], "train", **places, **more, **settings)
        guard(workflow.run)
        rows = json.loads((tmp_path / name / "cases.json").read_text())
        return [(row["protocol"], row["case"], row["organ"], row["dice"]) for row in rows]

    alone = score("alone", model(bundle))
    assert {row[2] for row in alone} and len(alone) >= len(TEST_ORGANS[bundle])
    assert alone == score("spelled_out", model(bundle), **SMALL[bundle])
    with pytest.raises((InputError, SystemExit), match="image_size is 32, and .* was trained with 64"):
        score("wrong", model(bundle), image_size=32)


def test_the_record_says_how_the_weights_were_made(model):
    record = read_record(model("adnet"))
    assert record["bundle"] == "adnet" and record["seed"] == 2021
    assert record["settings"]["image_size"] == 64
    assert {"torch", "monai", "python", "fewshot-bundles"} == record["versions"].keys()
    assert str(model("adnet").parent) not in json.dumps(record)  # no folder of the training travels


def test_weights_of_another_bundle_are_refused_by_its_name(model, segment):
    with pytest.raises((InputError, SystemExit), match="are of bundle adnet"):
        segment("ssl_alpnet", model("adnet"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record["settings"].update(spacing="$__import__('os').abort()"), "hold the expression"),
        (lambda record: record["components"]["prepare"].update(_target_="os.abort"), "does not have"),
        (
            lambda record: record["components"]["prepare"].update(_target_="common.files.writing.shutil.rmtree"),
            "does not have",
        ),
        (lambda record: record["components"]["prepare"].update(_mode_="debug"), "does not have"),
        (lambda record: record.pop("components"), "cannot be read"),
    ],
)
def test_what_a_strangers_file_holds_is_never_run(model, segment, tmp_path, change, message):
    state = torch.load(model("adnet"))
    record = read_record(model("adnet"))
    change(record)
    state._metadata["fewshot"] = {"record": json.dumps(record)}
    torch.save(state, tmp_path / "strange.pt")
    with pytest.raises((InputError, SystemExit), match=message):
        segment("adnet", tmp_path / "strange.pt")


def test_a_scan_of_another_kind_than_the_training_is_warned_of(model, segment, files, dataset, tmp_path, capfd):
    """The weights say what their scans were like; MR has no intensities far below 0, CT in HU has."""
    record = read_record(model("adnet"))["fingerprint"]
    scans = [nib.load(path) for path in sorted((dataset / "imagesTr").glob("*.nii.gz"))]
    assert record["spacing"] == sorted(map(float, scans[0].header.get_zooms()))
    lowest = [np.percentile(scan.get_fdata(), 0.5) for scan in scans]
    assert min(lowest) <= record["intensities"][0] <= max(lowest) and 0 < record["scans"] < len(scans)
    segment("adnet", model("adnet"))
    assert "one of them is CT in HU" not in capfd.readouterr().out
    scan = nib.load(files["image"])
    (tmp_path / "ct").mkdir()
    files["image"] = str(tmp_path / "ct" / "case_1.nii.gz")
    nib.save(nib.Nifti1Image(scan.get_fdata().astype(np.float32) - 1000, scan.affine), files["image"])
    segment("adnet", model("adnet"))
    assert "ct/case_1.nii.gz: intensities begin at -1000" in capfd.readouterr().out
