"""Cross-validation: which runs, and that neither a kill nor another engine changes a result."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from common.errors import InputError
from common.tools.crossval.engines import run_locally, run_on_ray
from common.tools.crossval.execution import _measure_intensities, execute
from common.tools.crossval.provenance import provenance
from common.tools.crossval.runs import Experiment, Run, list_runs, needs_statistics, run_settings
from tests.e2e.tiny import SMALL_TRAINING

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "bundles/adnet"
SHORT = {**SMALL_TRAINING["adnet"], "episodes_per_epoch": 20, "max_epochs": 2, "save_interval": 5, "distances": False}


def runs_of(folds, **settings):
    return list_runs(BUNDLE, "tiny", folds, **{"overrides": SHORT, **settings})


def tasks_of(experiment, runs):
    return [(experiment, run) for run in runs]


@pytest.fixture
def experiment(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Experiment(BUNDLE, str(dataset), tmp_path, ["ep1", "ep2"])


@pytest.fixture(scope="module")
def reference(dataset, tmp_path_factory):
    """What two folds find when nothing disturbs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        experiment = Experiment(BUNDLE, str(dataset), tmp_path_factory.mktemp("reference"), ["ep1", "ep2"])
        return [result(path) for path in run_locally(tasks_of(experiment, runs_of([0, 1])))]


def result(path):
    """What a run found, without how long it took."""
    content = json.loads(path.read_text())
    return content["run"], content["cases"], content["manifest"]["data_sha256"], content["training"]["threshold"]


def test_the_list_of_runs():
    runs = list_runs(BUNDLE, "chaos_t2", [0, 3], repeats=2, setting=2, config=["chaos_t2", "cpu"])
    assert [run.name for run in runs[:4]] == [
        f"adnet-chaos_t2+cpu-chaos_t2-s2-{group}-f{fold}-r0" for group in ("kidneys", "liver_spleen") for fold in (0, 3)
    ]
    assert len({run.name for run in runs}) == 8
    assert [run.seed for run in runs] == [2021] * 4 + [2022] * 4
    assert runs[0].configs == ["train", "chaos_t2", "cpu"]


@pytest.mark.parametrize("wrong", [{"folds": [5]}, {"folds": []}, {"setting": 3}, {"repeats": 0}])
def test_what_does_not_exist_is_refused(wrong):
    with pytest.raises(InputError, match="folds are 0 to 4"):
        list_runs(BUNDLE, "chaos_t2", **{"folds": [0], **wrong})


def test_a_run_is_one_file_and_is_not_repeated(experiment):
    (run,) = runs_of([0])
    path = execute(experiment, run)
    content = json.loads(path.read_text())
    assert Run(**content["run"]) == run
    assert {(row["protocol"], row["organ"]) for row in content["cases"]} == {
        (protocol, organ) for protocol in ("ep1", "ep2") for organ in ("liver", "spleen")
    }
    assert all(0 <= row["dice"] <= 1 for row in content["cases"])
    assert content["manifest"]["versions"]["torch"] and content["manifest"]["train_seconds"] > 0
    assert len(content["training"]["loss"]) == len(content["training"]["iteration"])
    before = path.stat().st_mtime_ns
    assert execute(experiment, run) == path and path.stat().st_mtime_ns == before

    other = replace(run, overrides={**run.overrides, "kappa": 0.1})
    with pytest.raises(
        InputError, match=r"f0-r0\.json was made from other overrides .*delete it, or use another --output"
    ):
        execute(experiment, other)
    path.unlink()
    with pytest.raises(InputError, match=r"run\.json was made from other overrides "):
        execute(experiment, other)


def test_a_protocol_that_was_not_evaluated_is_missed(experiment, tmp_path, write_run, same):
    path = write_run(same(0.5), folder=tmp_path)
    content = json.loads(path.read_text())
    run = Run(**content["run"])
    path.write_text(json.dumps({**content, "manifest": provenance(experiment, run)}))
    assert execute(replace(experiment, protocols=["ep1"]), run) == path
    with pytest.raises(InputError, match="lacks protocol k12: delete it to evaluate the run again"):
        execute(replace(experiment, protocols=["ep1", "k12"]), run)


def copied(bundle, folder):
    """A bundle of the test's own, to change."""
    return Path(shutil.copytree(bundle, folder / bundle.name))


@pytest.mark.parametrize("finished", [True, False])
def test_what_was_made_from_something_else_is_named(experiment, dataset, tmp_path, finished):
    experiment = replace(
        experiment, bundle=copied(BUNDLE, tmp_path), data=str(shutil.copytree(dataset, tmp_path / "data"))
    )
    (run,) = runs_of([0], config=["quick"])
    note = tmp_path / f"{run.name}.json" if finished else tmp_path / "work" / run.name / "run.json"

    def made():
        note.parent.mkdir(parents=True, exist_ok=True)
        cases = {"cases": [{"protocol": "ep1"}, {"protocol": "ep2"}]} if finished else {}
        note.write_text(json.dumps({"run": asdict(run), "manifest": provenance(experiment, run), **cases}))

    def refused(what):
        with pytest.raises(InputError, match=rf"{note} was made from other {what} \(\w+ and \w+\) than .*another"):
            execute(experiment, run)

    made()
    if finished:
        assert execute(experiment, run) == note
    one, other, *_ = sorted((tmp_path / "data/labelsTr").iterdir())
    shutil.copy(other, one)
    refused("scans or label maps")
    made()
    overlay = experiment.bundle / "configs/quick.yaml"
    overlay.write_text(overlay.read_text().replace("learning_rate: 0.015", "learning_rate: 0.016"))
    refused("content of its configurations")
    made()
    network = experiment.bundle / "scripts/network.py"
    network.write_text(network.read_text() + "# changed\n")
    refused("code")
    note.write_text(note.read_text()[:-9])
    with pytest.raises(InputError, match=rf"{note} is damaged: delete it to have this run made again"):
        execute(experiment, run)


def test_intensities_of_ct_are_those_of_each_folds_training_scans(experiment, tmp_path):
    found = {}
    for run in runs_of([0, 1], overrides={**SHORT, "intensity_window": [0, 800]}):
        assert needs_statistics(experiment, run)
        work = tmp_path / run.name
        work.mkdir()
        _measure_intensities(experiment, run, work)
        settings = run_settings(experiment, run, work)
        found[run.fold] = settings["intensity_mean"], settings["intensity_std"]
    assert found[0] != found[1]
    assert all(0 < value < 255 for pair in found.values() for value in pair)
    given = {**SHORT, "intensity_window": [0, 800], "intensity_mean": 1.0}
    assert not needs_statistics(experiment, runs_of([0], overrides=given)[0])
    assert not needs_statistics(experiment, runs_of([0])[0])


@pytest.fixture
def abdominal(tmp_path):
    """A dataset folder that names the organs of the comparison."""
    names = {"liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
    return Experiment(BUNDLE, str(tmp_path), tmp_path, ["ep1"])


def test_setting_2_trains_and_scores_by_group(abdominal):
    (run,) = [run for run in runs_of([0], setting=2) if run.group == "liver_spleen"]
    settings = run_settings(abdominal, run, abdominal.output)
    assert settings["excluded_labels"] == settings["validate#load_support#organs"] == [1, 4]
    assert "test_organs" not in settings


def test_methods_that_learn_from_organs_are_trained_by_group(abdominal):
    lsnet = ROOT / "bundles/lsnet"
    experiment = Experiment(lsnet, abdominal.data, abdominal.output, ["k12"])
    runs = list_runs(lsnet, "chaos_t2", [0])
    assert [run.group for run in runs] == ["liver", "spleen", "kidneys"]
    settings = run_settings(experiment, runs[-1], abdominal.output)
    assert settings["test_organs"] == [2, 3] and settings["fold_organs"] == [1, 2, 3, 4]
    assert "excluded_labels" not in settings
    for one in ({"config": ["train_ssl"]}, {"overrides": {"test_organs": [1]}}):
        assert [run.group for run in list_runs(lsnet, "chaos_t2", [0], **one)] == [None]
    assert [run.group for run in list_runs(lsnet, "visceral")] == ["liver", "spleen", "kidneys", "psoas"]


def test_untrained_runs_keep_the_weights_that_they_are_initialised_with():
    for bundle, init in (("ssl_alpnet", {"init": "coco"}), ("alpnet3d", {"init": "none"})):
        (run,) = list_runs(ROOT / "bundles" / bundle, "chaos_t2", [0], config=["paper"], untrained=True)
        assert run.overrides == {"checkpoint": None, **init} and run.variant == "paper+untrained" and run.untrained


@pytest.mark.slow
def test_a_failing_run_is_named_and_the_others_are_executed(experiment):
    good, bad = runs_of([0]), runs_of([1], overrides={**SHORT, "encoder_depth": 7})
    with pytest.raises(
        InputError, match=r"1 of 2 runs failed.*adnet-tiny-s1-f1-r0: train ended with status 1.*train\.log"
    ):
        run_locally(tasks_of(experiment, [*bad, *good]))
    assert sorted(path.name for path in experiment.output.glob("*.json")) == ["adnet-tiny-s1-f0-r0.json"]


@pytest.mark.slow
def test_a_killed_driver_loses_nothing(reference, dataset, tmp_path):
    options = [part for key, value in SHORT.items() for part in ("--override", f"{key}={json.dumps(value)}")]
    arguments = ["--bundle", BUNDLE, "--dataset", "tiny", "--data", dataset, "--folds", "0,1", *options]
    command = [sys.executable, "-m", "common.tools.cli", "crossval", *arguments, "--output", tmp_path / "killed"]
    driver = subprocess.Popen([str(part) for part in command], cwd=ROOT, stdout=subprocess.DEVNULL)
    second = tmp_path / "killed/work/adnet-tiny-s1-f1-r0/models"
    end = time.monotonic() + 120
    while not list(second.glob("checkpoint_iteration=*.pt")) and time.monotonic() < end:
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    training = subprocess.run(["pgrep", "-f", str(second)], capture_output=True, text=True).stdout.split()
    assert training, "the training outlives its driver"
    os.kill(int(training[0]), signal.SIGKILL)
    assert [path.name for path in (tmp_path / "killed").glob("*.json")] == ["adnet-tiny-s1-f0-r0.json"]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
    assert [result(path) for path in sorted((tmp_path / "killed").glob("*.json"))] == reference
    again = json.loads((tmp_path / "killed/adnet-tiny-s1-f1-r0.json").read_text())
    assert again["manifest"]["resumed"] is True


@pytest.mark.slow
def test_slurm_tasks_execute_the_list(experiment, dataset, tmp_path):
    options = [part for key, value in SHORT.items() for part in ("--override", f"{key}={json.dumps(value)}")]
    arguments = ["--bundle", BUNDLE, "--dataset", "tiny", "--data", dataset, "--folds", "0-1", *options]
    command = [
        sys.executable,
        "-m",
        "common.tools.cli",
        "crossval",
        *arguments,
        "--output",
        tmp_path,
        "--engine",
        "slurm",
    ]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
    script = tmp_path / "crossval.sbatch"
    assert "#SBATCH --array=0-1\n" in script.read_text()
    (tmp_path / "bin").mkdir()
    fewshot = tmp_path / "bin/fewshot"
    fewshot.write_text(f'#!/bin/sh\nexec {sys.executable} -m common.tools.cli "$@"\n')
    fewshot.chmod(0o755)
    environment = {**os.environ, "PATH": f"{fewshot.parent}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "1"}
    subprocess.run(["bash", script], cwd=ROOT, env=environment, check=True)
    assert [path.name for path in tmp_path.glob("*.json")] == ["adnet-tiny-s1-f1-r0.json"]


@pytest.mark.slow
def test_a_ray_cluster_of_two_workers_gives_the_same_results(reference, experiment):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    import ray

    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    try:
        paths = run_on_ray(tasks_of(experiment, runs_of([0, 1])), cluster.address)
        assert [result(path) for path in paths] == reference
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_torchrun_trains_with_several_processes(dataset, experiment, tmp_path):
    two = Experiment(BUNDLE, str(dataset), tmp_path / "two", ["ep2"], processes=2)
    (run,) = runs_of([0], overrides={**SHORT, "batch_size": 1})
    assert json.loads(execute(two, run).read_text())["manifest"]["processes"] == 2


@pytest.mark.slow
def test_five_folds_on_the_phantom(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    coarse = {"image_size": 96, "spacing": [3.0, 3.0, 7.7]}
    steps = {"batch_size": 1, "episodes_per_epoch": 20, "max_epochs": 1, "distances": False}
    runs = list_runs(BUNDLE, "phantom", overrides={**SMALL_TRAINING["adnet"], **coarse, **steps})
    experiment = Experiment(BUNDLE, "phantom", tmp_path, ["ep2"])
    paths = run_locally(tasks_of(experiment, runs))
    assert len(paths) == 5 and all(path.is_file() for path in paths)
    cases = {row["case"] for path in paths for row in json.loads(path.read_text())["cases"]}
    assert cases == {f"phantom_{number:02d}" for number in range(1, len(cases) + 1)} and len(cases) >= 10
