"""Frozen networks answer as their bundle does, in TorchScript and in onnxruntime, and say what they are."""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from monai.data import load_net_with_metadata
from monai.inferers import sliding_window_inference

from common.configuration.workflow import bundle_workflow
from common.errors import InputError
from common.files.record import attach_record
from common.networks import load_network
from common.tools.packaging.freeze import freeze
from tests.e2e.tiny import SMALL, SMALL_3D, save, scan
from tests.test_project import refuse_imports

pytestmark = pytest.mark.usefixtures("own_scripts")
ROOT = Path(__file__).parents[2]
# Bundle, overlays of train.yaml, settings, annotated subjects.
CASES = {
    **{name: (name, [], settings, [3]) for name, settings in SMALL.items()},
    "adnet_3d": ("adnet", ["train_3d"], {**SMALL["adnet"], **SMALL_3D, "patch_size": [32, 32, 4]}, [3]),
    "ssl_panet": ("ssl_alpnet", ["panet"], SMALL["ssl_alpnet"], [3]),
    "two_shots": ("adnet", [], {**SMALL["adnet"], "shots": 2}, [3]),
    "two_supports": ("ssl_alpnet", [], SMALL["ssl_alpnet"], [3, 4]),
}


def slow(name):
    return pytest.param(name, marks=[] if name == "adnet_3d" else pytest.mark.slow)


@pytest.fixture
def case(request, dataset, tmp_path):
    """A bundle's configuration, a prepared query, and what ``freeze`` is called with."""
    bundle, overlays, settings, subjects = CASES[getattr(request, "param", "adnet")]
    files = {
        "support_image": [str(dataset / f"imagesTr/case_{number}.nii.gz") for number in subjects],
        "support_label": [str(dataset / f"labelsTr/case_{number}.nii.gz") for number in subjects],
    }
    folder, scan = ROOT / "bundles" / bundle, dataset / "imagesTr/case_1.nii.gz"
    parser, query = _random_weights(folder, overlays, {**settings, **files}, scan, tmp_path / "model.pt")
    arguments = {"bundle": folder, "config": overlays, "checkpoint": tmp_path / "model.pt"}
    return parser, query, {**arguments, **files, **settings, "organ": "liver"}


def _random_weights(folder, overlays, settings, scan, checkpoint):
    """Save random weights that segment neither nothing nor everything of a scan."""
    parser = bundle_workflow(
        folder,
        ["inference"],
        "infer",
        **settings,
        **{"trained#configs": ["train", *overlays]},
        organs=[1],
        protocol="ep2",
        precision="float32",
        checkpoint=None,
    ).parser
    network = parser.get_parsed_content("network_def")
    query = parser.get_parsed_content("preprocessing")({"image": str(scan)})["image"]
    _calibrate(network, query, parser.get_parsed_content("inferer"))
    torch.save(network.state_dict(), checkpoint)
    return parser, query


def _as_trained(parser, weights):
    """Store the settings with the weights, as a training does."""
    trained, state = parser.get_parsed_content("trained"), torch.load(weights)
    attach_record(state, {"components": trained.components, "settings": trained.settings})
    torch.save(state, weights)


def _calibrate(network, query, inferer):
    """Take BatchNorm's statistics from the query; put ADNet's threshold where it halves the body."""
    images = query.as_tensor().movedim(-1, 0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
                module.momentum = None
        network.train().encode(query.as_tensor()[None] if hasattr(inferer, "roi_size") else images)
        network.eval()
        if hasattr(network, "threshold"):
            foreground = inferer(query[None], network)[0, 1].as_tensor()
            body = query.as_tensor()[0] > query.as_tensor().min()
            network.threshold -= foreground[body].logit().median() / network.kappa


def _foreground(predict, query, inferer):
    """Foreground probabilities of a preprocessed volume by a frozen network alone: slices in one batch, or windows."""
    volume = query.as_tensor()
    if not hasattr(inferer, "roi_size"):
        return predict(volume.movedim(-1, 0))[:, 1].exp().movedim(0, -1)
    foreground = sliding_window_inference(
        volume[None],
        inferer.roi_size,
        1,
        lambda windows: predict(windows)[:, 1:].exp(),
        inferer.overlap,
        mode="gaussian",
        cval=float(volume.min()),
    )
    return foreground[0, 0]


@pytest.mark.parametrize("case", [name if name in SMALL else slow(name) for name in CASES], indirect=True)
def test_frozen_masks_equal_the_bundles(case, tmp_path):
    parser, query, arguments = case
    network = load_network(parser.get_parsed_content("network_def"), str(arguments["checkpoint"])).eval()
    inferer = parser.get_parsed_content("inferer")
    expected = inferer(query[None], network)[0, 1].as_tensor()
    assert 0.02 < (expected > 0.5).float().mean() < 0.98

    script, graph = freeze(**arguments, output=tmp_path / "out/liver.ts", onnx=True)
    assert [script, graph] == [tmp_path / "out/liver.ts", tmp_path / "out/liver.onnx"]
    scripted = torch.jit.load(script)
    session = onnxruntime.InferenceSession(graph)

    def run_onnx(images):
        return torch.from_numpy(session.run(None, {"image": images.numpy()})[0])

    with torch.no_grad():
        assert torch.equal(_foreground(scripted, query, inferer) > 0.5, expected > 0.5)
        # Other kernels round differently: what lies on the threshold may fall on either side of it.
        answer = _foreground(run_onnx, query, inferer)
        torch.testing.assert_close(answer, expected, atol=2e-5, rtol=0)
        assert ((answer > 0.5) != (expected > 0.5)).sum() <= 1e-4 * expected.numel()
        size = [int(n) for n in json.loads(session.get_modelmeta().custom_metadata_map["input"])["shape"][1:]]
        images = torch.randn(3, *size)
        answer = scripted(images)
        assert torch.allclose(answer.exp().sum(1), torch.ones(()), atol=1e-4)
        for batch in (1, 3):
            torch.testing.assert_close(run_onnx(images[:batch]), answer[:batch], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("case", ["adnet", "alpnet3d"], indirect=True)
def test_both_files_say_the_same(case, tmp_path):
    parser, query, arguments = case
    script, graph = freeze(**{**arguments, "organ": 4}, output=tmp_path / "spleen.ts", onnx=True)
    _, metadata, _ = load_net_with_metadata(str(script))
    texts = onnxruntime.InferenceSession(graph).get_modelmeta().custom_metadata_map
    plain = {key for key, value in metadata.items() if isinstance(value, str)}
    assert {key: text if key in plain else json.loads(text) for key, text in texts.items()} == metadata

    name = arguments["bundle"].name
    assert (metadata["organ"], metadata["label"], metadata["bundle"]) == ("spleen", 4, name)
    assert (
        metadata["bundle_version"] == json.loads((arguments["bundle"] / "configs/metadata.json").read_text())["version"]
    )
    plane = [64, 64] if name == "adnet" else [32, 32, 8]
    assert metadata["input"]["shape"] == ["batch", 1, *plane]
    assert metadata["input"]["axes"] == ["batch", "channel", "X", "Y", "Z"][: len(plane) + 2]
    assert metadata["output"]["content"] == "log-probabilities"
    assert metadata["output"]["classes"] == ["background", "spleen"]
    assert metadata["preprocessing"]["spacing"] == [2.0, 2.0, 6.0]
    assert metadata["preprocessing"]["upper_percentile"] == 99.5
    assert metadata["inference"]["protocol"] == "ep2"


def test_frozen_files_need_no_project_and_name_no_folder(case, run_python, tmp_path):
    _, _, arguments = case
    script, graph = freeze(**arguments, output=tmp_path / "liver.ts", onnx=True)
    for path in (script, graph):
        content = path.read_bytes()
        assert str(ROOT).encode() not in content and str(tmp_path).encode() not in content
        assert str(Path(torch.__file__).parents[1]).encode() not in content
    load = f"import torch; print(torch.jit.load({str(script)!r})(torch.zeros(2, 1, 64, 64)).shape)"
    run_python("-c", refuse_imports(load, ["common", "scripts", "monai"]), cwd=tmp_path)
    load = f"import onnxruntime; onnxruntime.InferenceSession({str(graph)!r})"
    run_python("-c", refuse_imports(load, ["common", "scripts", "monai", "torch"]), cwd=tmp_path)
    onnx.checker.check_model(onnx.load(graph), full_check=True)


def test_label_values_without_a_dataset(case, tmp_path):
    _, _, arguments = case
    image, label = scan(3)
    files = {
        "support_image": save(tmp_path / "a/scan.nii.gz", image),
        "support_label": save(tmp_path / "a/map.nii.gz", label),
    }
    arguments = {**arguments, **files, "output": tmp_path / "one.ts"}
    (script,) = freeze(**{**arguments, "organ": "1"})
    assert load_net_with_metadata(str(script))[1]["output"]["classes"] == ["background", "1"]
    with pytest.raises(
        InputError, match=r"organ 'liver' is unknown: nothing in or beside the label map .* give its value"
    ):
        freeze(**arguments)
    with pytest.raises(InputError, match=r"map\.nii\.gz: label values \[7\] are not there; it holds \[1, 4\]"):
        freeze(**{**arguments, "organ": 7, "overwrite": True})
    with pytest.raises(InputError, match=r"one\.ts exists and was not made by this command"):
        freeze(**{**arguments, "organ": 4})
    freeze(**{**arguments, "organ": "1"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"organ": "heart"}, r"organ 'heart' is unknown: beside the label map are named liver, spleen"),
        ({"organ": 0}, "organ 0 is unknown"),
        ({"output": "liver.pt"}, r"liver\.pt: a frozen network is a \.ts file"),
        ({"support_image": []}, "0 support scans and 1 support label maps"),
        ({"checkpoint": "other.pt"}, "checkpoint of another network"),
        ({"checkpoint": "nowhere.pt"}, "no file .*nowhere.pt"),
        ({"bundle": "nowhere"}, "no bundle .*nowhere: there is no such folder"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes_are_named_and_leave_the_old_file(case, changes, message, tmp_path):
    _, _, arguments = case
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pt")
    before = tmp_path / "out/liver.ts"
    before.parent.mkdir()
    before.write_text("of yesterday")
    places = {key: str(tmp_path / value) for key, value in changes.items() if key in ("checkpoint", "bundle")}
    with pytest.raises((InputError, FileNotFoundError), match=message):
        freeze(**{**arguments, "output": before, "overwrite": True, **changes, **places})
    assert before.read_text() == "of yesterday"
    assert list(before.parent.iterdir()) == [before]


def test_a_failed_export_leaves_nothing_behind(case, monkeypatch, tmp_path):
    _, _, arguments = case
    monkeypatch.setattr(onnx, "save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        freeze(**arguments, output=tmp_path / "out/liver.onnx")
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_packages_are_named(case, monkeypatch, tmp_path):
    _, _, arguments = case
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match="ONNX needs onnxscript: pip install"):
        freeze(**arguments, output=tmp_path / "liver.onnx")
    assert freeze(**arguments, output=tmp_path / "liver.ts") == [tmp_path / "liver.ts"]


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])
def test_the_documented_commands_run(bundle, dataset, run_python, tmp_path):
    """The commands of deploy.md as printed, with weights that were never trained, in a folder of the user's."""
    text = (ROOT / "docs/how-to/deploy.md").read_text().replace("bundles/adnet", f"bundles/{bundle}")
    (tmp_path / "segment.py").write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0])
    commands = re.findall(r"^    ((?:fewshot|python) .*)$", text, re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["freeze", "segment.py", "segment.py", "segment"]
    (tmp_path / "bundles").symlink_to(ROOT / "bundles")
    for name, source in {"patient_a": "imagesTr/case_3", "patient_b": "imagesTr/case_1"}.items():
        shutil.copy(dataset / f"{source}.nii.gz", tmp_path / f"{name}.nii.gz")
    shutil.copy(dataset / "labelsTr/case_3.nii.gz", tmp_path / "patient_a_organs.nii.gz")
    shutil.copy(dataset / "dataset.json", tmp_path)
    support = {"support_image": tmp_path / "patient_a.nii.gz", "support_label": tmp_path / "patient_a_organs.nii.gz"}
    settings = {key: str(path) for key, path in support.items()}
    scan, weights = tmp_path / "patient_b.nii.gz", tmp_path / "model.pt"
    parser, _ = _random_weights(ROOT / "bundles" / bundle, ["quick"], settings, scan, weights)
    _as_trained(parser, weights)

    answers = []
    for command in commands:
        program, *arguments = shlex.split(command)
        run_python(*(["-m", "common.tools.cli"] if program == "fewshot" else []), *arguments, cwd=tmp_path)
        for path in tmp_path.glob("*/patient_b_seg.nii.gz"):
            stored = nib.load(path)
            answers.append((stored.affine, stored.get_fdata()))
            path.unlink()
    affine, reference = answers.pop()
    assert len(answers) == 2 and set(np.unique(reference)) == {0, 1}
    for own_affine, answer in answers:
        assert answer.shape == reference.shape and np.allclose(own_affine, affine)
        assert (answer != reference).mean() < 1e-3
