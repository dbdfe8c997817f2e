"""Trainings and cross-validations of a bundle, ended outright again and again: nothing is lost, nothing is half."""

import itertools
import json
import shutil
import time
from pathlib import Path

import pytest
import torch

from common.configuration.workflow import bundle_workflow
from common.errors import InputError
from common.tools.crossval import execution as crossval
from common.tools.crossval.results import read_results
from common.tools.crossval.runs import Experiment, list_runs
from tests.durability import finish, kill_at_moment, kill_at_random
from tests.e2e.tiny import SMALL_TRAINING

pytestmark = pytest.mark.slow
BUNDLE = Path(__file__).parents[2] / "bundles/adnet"
KILLS = 20
SHORT = {**SMALL_TRAINING["adnet"], "batch_size": 1, "max_epochs": 2, "val_interval": 2}


@pytest.fixture(autouse=True)
def one_thread(own_scripts):
    """Threads do not survive a fork."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def at_random(command, folder, longest):
    """Kill the command 20 times, each time where the one before has left it; begin anew when it came to its end."""
    killed = 0
    for seed in range(10 * KILLS):
        if kill_at_random(command, longest / 2, seed):
            killed += 1
        else:
            shutil.rmtree(folder)
        if killed == KILLS:
            return
    pytest.fail(f"only {killed} tries came before the end of the command")


def when_writing(command, folder, longest):
    """Kill the command 20 times before a change of a file, a later one each time."""
    killed = itertools.takewhile(lambda moment: kill_at_moment(command, moment, folder), itertools.count())
    assert len(list(itertools.islice(killed, KILLS))) == KILLS


def left_over(folder):
    return [path for path in folder.rglob("*") if ".partial." in path.name]


@pytest.fixture(scope="module")
def prepared(dataset, tmp_path_factory):
    """Cache of prepared volumes, and the weights of a training that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    start = time.monotonic()
    assert finish(lambda: train(folder, folder, dataset)) == 0
    return folder, time.monotonic() - start


def train(folder, cache, dataset):
    places = {"ckpt_dir": str(folder / "models"), "output_dir": str(folder / "eval"), "cache_dir": str(cache / "cache")}
    resume = any((folder / "models").glob("checkpoint_*.pt"))
    settings = {**SHORT, **places, "dataset_dir": str(dataset), "episodes_per_epoch": 20, "save_interval": 1}
    bundle_workflow(BUNDLE, ["train"], **settings, resume=resume).run()


@pytest.mark.parametrize("kills", [at_random, when_writing])
def test_a_training_that_is_killed_again_and_again_ends_with_the_same_weights(prepared, dataset, tmp_path, kills):
    whole, seconds = prepared
    kills(lambda: train(tmp_path, whole, dataset), tmp_path / "models", seconds)
    assert finish(lambda: train(tmp_path, whole, dataset)) == 0
    expected, found = (torch.load(folder / "models/model.pt", weights_only=True) for folder in (whole, tmp_path))
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert left_over(tmp_path) == []


@pytest.fixture
def in_this_process(monkeypatch):
    """Let a cross-validation train and evaluate in its own process: it would spend its time with imports."""

    def call(experiment, run, step, settings, overlays=(), lock=()):
        try:
            bundle_workflow(experiment.bundle, [*run.configs, *overlays], **settings).run()
        except SystemExit as end:
            raise InputError(f"{step} ended with: {end}") from None
        return 1.0

    monkeypatch.setattr(crossval, "_call", call)


@pytest.fixture
def validate(dataset, in_this_process):
    """Give ``validate(folder)``: one run of a cross-validation, to be called in a process of its own."""
    settings = {**SHORT, "episodes_per_epoch": 4, "save_interval": 1, "distances": False}
    (run,) = list_runs(BUNDLE, "tiny", [0], overrides=settings)
    return lambda folder: crossval.execute(Experiment(BUNDLE, str(dataset), folder, ["ep2"]), run)


def found(folder):
    (result,) = read_results(folder)
    return result.cases, result.training["threshold"], result.manifest["data_sha256"]


@pytest.mark.parametrize("kills", [at_random, when_writing])
def test_a_cross_validation_that_is_killed_again_and_again_finds_the_same(validate, tmp_path, kills):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start = time.monotonic()
    assert finish(lambda: validate(whole)) == 0
    kills(lambda: validate(killed), killed, time.monotonic() - start)
    assert finish(lambda: validate(killed)) == 0
    assert found(killed) == found(whole)
    assert left_over(killed) == []


def test_damaged_files_of_a_run_are_made_again(validate, tmp_path):
    def killed_after(damage, *names):
        folder = tmp_path / damage.__name__
        kill = range(40, 400, 20)
        for moment in kill:
            kill_at_moment(lambda: validate(folder), moment, folder)
            if all(any(folder.rglob(name)) for name in names):
                break
        for path in [path for name in names for path in folder.rglob(name)]:
            path.write_bytes(damage(path.read_bytes()))
        assert finish(lambda: validate(folder)) == 0
        return found(folder)

    def truncated(content):
        return content[: len(content) // 2]

    def emptied(content):
        return b""

    assert finish(lambda: validate(tmp_path / "whole")) == 0
    for damage in (truncated, emptied):
        assert killed_after(damage, "checkpoint_iteration=*.pt") == found(tmp_path / "whole")
    # behind the training, before the result
    (result,) = (tmp_path / "whole").glob("*.json")
    expected = found(tmp_path / "whole")
    result.unlink()
    for name in ("model.pt", "trained.json"):
        (path,) = (tmp_path / "whole/work").rglob(name)
        path.write_bytes(path.read_bytes()[:20])
        assert finish(lambda: validate(tmp_path / "whole")) == 0
        assert found(tmp_path / "whole") == expected
        result.unlink()


def test_on_a_full_disk_a_cross_validation_stops_and_goes_on_when_there_is_room(validate, tmp_path, small_disk, capfd):
    assert finish(lambda: validate(tmp_path / "whole")) == 0
    disk = small_disk("48m")
    for free in (100_000, 3_000_000, 8_000_000):
        filler = disk / "filler"
        filler.write_bytes(
            bytes(48 * 2**20 - free - sum(path.stat().st_size for path in disk.rglob("*") if path.is_file()))
        )
        assert finish(lambda: validate(disk / "runs")) == 1
        assert "no space left" in capfd.readouterr().err.lower()
        assert list((disk / "runs").glob("*.json")) == [] and left_over(disk) == []
        filler.unlink()
    assert finish(lambda: validate(disk / "runs")) == 0
    assert found(disk / "runs") == found(tmp_path / "whole")
    assert json.loads(next((disk / "runs").glob("*.json")).read_text())["run"]["bundle"] == "adnet"
