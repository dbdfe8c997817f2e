"""MONAI's own commands on every bundle, as the model zoo's checks run them: metadata, shapes, TorchScript, ONNX."""

import importlib.metadata
import json
import re
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import onnxruntime
import pytest
import torch
from packaging.requirements import Requirement

from common.configuration.workflow import bundle_workflow
from common.networks import load_network
from common.tools.crossval.results import read_result
from tests.bundles.networks import episode
from tests.e2e.packaged import TRAINED_WITH
from tests.e2e.tiny import SMALL, SMALL_3D, SMALL_TRAINING

ROOT = Path(__file__).parents[2]
SCHEMA = Path(__file__).parent / "meta_schema_stand_in.json"
# Overlays of train.yaml and settings of a small network.
NETWORKS = {
    **{bundle: (bundle, [], settings) for bundle, settings in SMALL.items()},
    "adnet_3d": ("adnet", ["train_3d"], {**SMALL["adnet"], **SMALL_3D}),
}
FULL_SIZE = ("adnet", "alpnet3d")


@pytest.fixture(params=["repository", pytest.param("packaged", marks=pytest.mark.slow)])
def folder_of(request, bundle_root, packaged):
    """Give ``folder_of(bundle)``: the same commands pass in the repository and on what was packaged from it."""
    return bundle_root if request.param == "repository" else packaged


@pytest.fixture(params=["small", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("full size", "packaged"))])
def network(request, bundle_root, packaged, options):
    """Give ``network(name)``: folder, arguments that name its inference configuration, and that configuration."""

    def get(name):
        bundle, overlays, settings = NETWORKS[name]
        if request.param == "full size" and name not in FULL_SIZE:
            pytest.skip(f"takes long: full size is checked with {' and '.join(FULL_SIZE)}")
        if request.param == "full size" or (request.param == "packaged" and not overlays):
            settings = {}  # what was packaged is small already
        if overlays:
            settings = {**settings, "trained#configs": ["train", *overlays]}
        if overlays or request.param != "packaged":  # the weights that are there are of another network
            settings = {**settings, "checkpoint": "$None"}
        arguments = ["--meta_file", "configs/metadata.json", "--config_file", "configs/inference.yaml"]
        arguments += options(**settings)
        if overlays:
            arguments += ["--_meta_#network_data_format#inputs#image#spatial_shape", "[215, 215, 10]"]
        folder = (packaged if request.param == "packaged" else bundle_root)(bundle)
        return folder, arguments, settings

    return get


@pytest.fixture
def with_weights(network, own_scripts, tmp_path):
    """As ``network``, with a checkpoint and the network that it fits."""

    def get(name):
        folder, arguments, settings = network(name)
        net = bundle_workflow(folder, ["inference"], "infer", **settings).parser.get_parsed_content("network_def")
        checkpoint = tmp_path / "model.pt"
        torch.save(net.state_dict(), checkpoint)
        return folder, [*arguments, "--ckpt_file", checkpoint], load_network(net, str(checkpoint)).eval()

    return get


@pytest.mark.parametrize("bundle", SMALL)
def test_verify_metadata(bundle, folder_of, run_bundle, tmp_path):
    """The command fetches the schema from its address unless there is a file of that name."""
    schema = shutil.copy(SCHEMA, tmp_path / "schema.json")
    arguments = ("--meta_file", "configs/metadata.json", "--filepath", schema)
    result = run_bundle("verify_metadata", *arguments, cwd=folder_of(bundle))
    assert "metadata is verified with no error" in result.stdout


@pytest.mark.parametrize("name", NETWORKS)
def test_verify_net_in_out(name, network, run_bundle):
    folder, arguments, _ = network(name)
    result = run_bundle("verify_net_in_out", "--net_id", "network_def", *arguments, cwd=folder)
    assert "data shape of network is verified with no error" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("network", ["packaged", "full size"], indirect=True)
@pytest.mark.parametrize("name", NETWORKS)
def test_ckpt_export(name, with_weights, run_bundle, tmp_path):
    """The exported network takes the support as its other two inputs."""
    folder, arguments, net = with_weights(name)
    run_bundle("ckpt_export", "network_def", "--filepath", tmp_path / "model.ts", *arguments, cwd=folder)
    extra = {"metadata.json": ""}
    exported = torch.jit.load(tmp_path / "model.ts", _extra_files=extra)
    assert json.loads(extra["metadata.json"])["network_data_format"]["outputs"].keys() == {"pred"}
    size = (48, 48) if name not in ("alpnet3d", "adnet_3d") else (32, 32, 8)
    with torch.no_grad():
        for inputs in (episode(size, batch=2), episode(size, batch=1, shots=2), episode(size)[:1]):
            torch.testing.assert_close(exported(*inputs), net(*inputs), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["packaged", "full size"], indirect=True)
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_export(name, with_weights, run_bundle, tmp_path):
    """The command knows one input, so what it exports is the network without support: background everywhere."""
    folder, arguments, _ = with_weights(name)
    run_bundle("onnx_export", "network_def", "--filepath", tmp_path / "model.onnx", *arguments, cwd=folder)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (image,) = session.get_inputs()
    (answer,) = session.run(None, {image.name: torch.rand(image.shape).numpy()})
    assert answer.shape == (1, 2, *image.shape[2:]) and answer.ndim == (5 if "3d" in name else 4)
    assert (answer.argmax(1) == 0).all()


# ------------------------------------------------------------------------------------------------------------ metadata


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 1),
        ("version", None),
        ("changelog", {}),
        ("required_packages_version", {"numpy": ">=2"}),
        ("supported_apps", None),
        ("references", []),
        ("eval_metrics", {"mean_dice": 73.0}),
        ("network_data_format#inputs#image", None),
        ("network_data_format#inputs#support_mask#dtype", None),
        ("network_data_format#outputs#pred#num_channels", "2"),
        ("network_data_format#outputs#pred#channel_def", {"first": "background"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_stand_in_schema_can_refuse(path, value):
    metadata = json.loads((ROOT / "bundles/adnet/configs/metadata.json").read_text())
    *parents, key = path.split("#")
    inner = metadata
    for name in parents:
        inner = inner[name]
    if value is None:
        del inner[key]
    else:
        inner[key] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(metadata, json.loads(SCHEMA.read_text()))


@pytest.mark.parametrize("bundle", SMALL)
def test_versions_are_those_of_the_constraints(bundle):
    """The model zoo's checks run Python 3.10 and install exactly these."""
    metadata = json.loads((ROOT / "bundles" / bundle / "configs/metadata.json").read_text())
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#") and Requirement(line).marker is None or "<" in line:
            pins[Requirement(line).name] = str(Requirement(line).specifier).removeprefix("==")
    versions = {**metadata["required_packages_version"], "monai": metadata["monai_version"]}
    versions |= {"torch": metadata["pytorch_version"], "numpy": metadata["numpy_version"]}
    assert versions == {name: pins[name] for name in versions}


@pytest.mark.parametrize("bundle", SMALL)
def test_metrics_are_the_measured_ones(bundle):
    """Mean over cases, organs and seeds of the committed results on fold 0 of CHAOS."""
    metrics = json.loads((ROOT / "bundles" / bundle / "configs/metadata.json").read_text())["eval_metrics"]
    configs = "+".join([*TRAINED_WITH.get(bundle, []), "chaos_t2", "cpu"])
    results = [read_result(path) for path in (ROOT / "docs/results").glob(f"{bundle}-{configs}-chaos_t2-s1-f0-*.json")]
    assert bool(results) == bool(metrics)
    for protocol in ("ep1", "ep2") if metrics else ():
        dice = [row["dice"] for result in results for row in result.cases if row["protocol"] == protocol]
        (measured,) = [value for name, value in metrics.items() if protocol in name]
        assert measured == pytest.approx(np.mean(dice), abs=6e-4)
    assert len(metrics) in (0, 2) and all("chaos_t2_fold0" in name for name in metrics)


HIDE = """
import runpy, sys
from importlib.machinery import PathFinder

class Hider(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {hidden!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hider
sys.argv = {arguments!r}
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""  # what is hidden is as absent to those who only ask whether it is there: torch asks for pytest's companions


def unlisted_packages(required):
    """Top-level packages of all installed distributions but ``required`` and what these depend on."""
    pending, known = list(required), set()
    while pending:
        name = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if name not in known:
            known.add(name)
            needs = [Requirement(text) for text in importlib.metadata.requires(name) or []]
            pending += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    owners = importlib.metadata.packages_distributions()
    listed = {top for top, names in owners.items() if known & {re.sub(r"[-_.]+", "-", n).lower() for n in names}}
    return sorted(set(owners) - listed - {"common"})


def test_all_bundles_require_the_same_packages(bundle_root):
    metadata = [json.loads((bundle_root(bundle) / "configs/metadata.json").read_text()) for bundle in SMALL]
    assert all(one["required_packages_version"] == metadata[0]["required_packages_version"] for one in metadata)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["alpnet3d"])  # volumes
def test_required_packages_are_enough(bundle, bundle_root, run_python, dataset, options, tmp_path):
    """Train, evaluate, segment and export as if nothing else were installed."""
    folder = bundle_root(bundle)
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    hidden = unlisted_packages(["monai", "torch", "numpy", *metadata["required_packages_version"]])
    assert {"matplotlib", "pydicom", "typer", "pytest"} <= set(hidden)
    assert not {"monai", "torch", "numpy", "nibabel", "itk", "ignite", "yaml", "fire", "skimage"} & set(hidden)

    def run(*arguments, check=True):
        arguments = ["monai.bundle", *map(str, arguments)]
        return run_python("-c", HIDE.format(hidden=hidden, arguments=arguments), cwd=folder, check=check)

    broken = run("run", "--config_file", "configs/inference.yaml", "--device", "$__import__('typer')", check=False)
    assert "No module named 'typer'" in broken.stdout
    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    training = {"dataset_dir": dataset, "episodes_per_epoch": 4, "max_epochs": 1, **SMALL_TRAINING[bundle], **places}
    run("run", "training", "--config_file", "configs/train.yaml", *options(**training))
    configs = "['configs/train.yaml','configs/evaluate.yaml']"
    run("run", "--config_file", configs, *options(**training))
    inference = ["--config_file", "configs/inference.yaml", *options(**SMALL[bundle])]
    weights = tmp_path / "ckpt_dir/model.pt"
    files = {"dataset_dir": dataset, "checkpoint": weights, "output_dir": tmp_path / "out"}
    run("run", *inference, *options(**files))
    assert len(list((tmp_path / "out").glob("*_seg.nii.gz"))) == 5
    export = [*inference, "--meta_file", "configs/metadata.json", "--ckpt_file", weights, "--checkpoint", weights]
    run("ckpt_export", "network_def", "--filepath", tmp_path / "model.ts", *export)
    run("onnx_export", "network_def", "--filepath", tmp_path / "model.onnx", *export)
    assert (tmp_path / "model.ts").is_file() and (tmp_path / "model.onnx").is_file()
