"""Every bundle through MONAI's runner, in subprocesses: train, resume, evaluate, infer."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch

from common.configuration.workflow import config_file
from tests.e2e.tiny import ABOUT, FLOORS, PROTOCOLS, SMALL, SMALL_TRAINING, TEST_ORGANS

NAMES = {1: "liver", 4: "spleen"}
# Overlay: the process dies in its second epoch, some steps after its checkpoint.
KILLED = """
imports: ["$import os", "$import scripts", "$from ignite.engine import Events"]
run:
  - "$monai.utils.set_determinism(@seed)"
  - "$@train#dataset.fill()"
  - "$@train#trainer.add_event_handler(Events.ITERATION_COMPLETED(once=35), lambda: os.kill(os.getpid(), 9))"
  - "$@train#trainer.run()"
"""


@pytest.fixture(scope="module", params=SMALL)
def bundle(request):
    return request.param


@pytest.fixture(scope="module")
def train(bundle, run_bundle, dataset, options):
    def run(folder, config=None, run_id="training", cwd=None, check=True, **settings):
        places = {name: folder / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
        defaults = {"dataset_dir": dataset, "episodes_per_epoch": 20, **SMALL_TRAINING[bundle]}
        where = {"check": check} if cwd is None else {"check": check, "cwd": cwd}
        config = config or f"bundles/{bundle}/configs/train.yaml"
        arguments = options(**{**defaults, **places, **settings})
        return run_bundle("run", run_id, "--config_file", str(config), *arguments, **where)

    return run


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    """Four epochs without a stop, 80 episodes."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder, max_epochs=4, save_interval=30, val_interval=4)
    return folder


def weights(folder):
    return torch.load(folder / "ckpt_dir" / "model.pt", weights_only=True)


def test_resumed_training_equals_uninterrupted_training_bit_for_bit(bundle, train, trained, tmp_path):
    overlay = tmp_path / "killed.yaml"
    overlay.write_text(KILLED)
    configs = f"['bundles/{bundle}/configs/train.yaml','{overlay}']"
    killed = train(tmp_path, config=configs, check=False, max_epochs=4, save_interval=30)
    assert killed.returncode == -9 and not (tmp_path / "ckpt_dir" / "model.pt").exists()
    train(tmp_path, max_epochs=4, save_interval=30, resume=True)
    reference, resumed = weights(trained), weights(tmp_path)
    assert reference.keys() == resumed.keys()
    different = [name for name in reference if not torch.equal(reference[name], resumed[name])]
    assert different == []


def test_training_changes_the_weights(train, trained, tmp_path):
    train(tmp_path, max_epochs=1)
    before, after = weights(tmp_path), weights(trained)
    learned = [name for name in before if before[name].is_floating_point()]
    assert all(not torch.equal(before[name], after[name]) for name in learned)


def test_evaluate_writes_every_case_and_organ(bundle, run_bundle, dataset, trained, options):
    configs = str([str(config_file(f"bundles/{bundle}", name)) for name in ("train", "evaluate")])
    places = {name: trained / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    settings = {"dataset_dir": dataset, **SMALL_TRAINING[bundle], **places}
    result = run_bundle("run", "--config_file", configs, *options(**settings))
    rows = list(csv.DictReader((trained / "output_dir" / "cases.csv").open()))
    organs = [NAMES[value] for value in TEST_ORGANS[bundle]]
    expected = [
        (protocol, case, organ) for protocol in PROTOCOLS[bundle] for case in ("case_1", "case_2") for organ in organs
    ]
    assert [(row["protocol"], row["case"], row["organ"]) for row in rows] == expected
    first = [float(row["dice"]) for row in rows if row["protocol"] == PROTOCOLS[bundle][0]]
    assert np.mean(first) > FLOORS[bundle], result.stdout
    assert all(float(row["hd95_mm"]) >= 0 for row in rows if row["hd95_mm"])
    assert json.loads((trained / "output_dir" / "cases.json").read_text())[0]["protocol"] == PROTOCOLS[bundle][0]

    original = run_bundle("run", "--config_file", configs, *options(**settings, evaluate_space="original"))
    other = list(csv.DictReader((trained / "output_dir" / "cases.csv").open()))
    same_grid = [float(row["dice"]) for row in other if row["protocol"] == PROTOCOLS[bundle][0]]
    tolerance = ABOUT[bundle]["tests"].get("grid_tolerance", 0.05)
    assert np.allclose(first, same_grid, atol=tolerance), original.stdout


def test_inference_answers_in_the_query_geometry(bundle, run_bundle, dataset, trained, options, tmp_path):
    files = {"support_image": dataset / "imagesTr/case_3.nii.gz", "support_label": dataset / "labelsTr/case_3.nii.gz"}
    query = dataset / "imagesTr/case_1.nii.gz"
    settings = {"image": query, "checkpoint": trained / "ckpt_dir/model.pt", "output_dir": tmp_path, "confidence": True}
    config = f"bundles/{bundle}/configs/inference.yaml"
    run_bundle("run", "--config_file", config, *options(**files, **settings, **SMALL[bundle]))
    answer, stored = nib.load(tmp_path / "case_1_seg.nii.gz"), nib.load(query)
    assert answer.shape == stored.shape
    assert np.allclose(answer.affine, stored.affine)
    assert set(np.unique(answer.get_fdata())) <= {0, 1, 4}
    label = nib.load(dataset / "labelsTr/case_1.nii.gz").get_fdata() == 1
    predicted = answer.get_fdata() == 1
    assert 2 * (predicted & label).sum() / (predicted.sum() + label.sum()) > FLOORS[bundle] / 2
    confidence = nib.load(tmp_path / "case_1_confidence.nii.gz").get_fdata()
    assert confidence.min() >= 0 and confidence.max() <= 1
    assert ((confidence > 0.5) == (answer.get_fdata() > 0)).mean() > 0.999


@pytest.mark.slow
def test_runs_from_any_folder_and_under_both_names(bundle, train, bundle_root, tmp_path):
    config = bundle_root(bundle) / "configs" / "train.yaml"
    train(tmp_path, config=config, cwd=tmp_path, run_id="run", max_epochs=1)
    assert (tmp_path / "ckpt_dir" / "model.pt").is_file()
    other = tmp_path / "other"
    train(other, run_id="training", **{"train#trainer#max_epochs": 1})
    first, second = weights(tmp_path), weights(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d", "lsnet"], indirect=True)
def test_two_processes_share_the_single_process_stream(bundle, run_python, dataset, options, tmp_path):
    """Each kind of episodes once: slices, volumes, annotated organs, these with the fast step."""
    overlays = ["fast", "multi_gpu_train"] if bundle == "lsnet" else ["multi_gpu_train"]
    configs = str([str(config_file(f"bundles/{bundle}", name)) for name in ("train", *overlays)])
    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    settings = {"dataset_dir": dataset, "episodes_per_epoch": 20, "max_epochs": 1, "save_interval": 5}
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle")
    arguments = options(**{**settings, **SMALL_TRAINING[bundle], "batch_size": 1, **places})
    run_python(*launch, "run", "training", "--config_file", configs, *arguments)
    assert (tmp_path / "ckpt_dir" / "model.pt").is_file()
    checkpoint = torch.load(tmp_path / "ckpt_dir/checkpoint_iteration=10.pt", weights_only=True)
    assert int(checkpoint["episodes"]["episode"]) == 20
    assert checkpoint["trainer"]["iteration"] == 10
