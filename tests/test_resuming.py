"""Stopping a training at any instant and going on: never with another one's state, never without a word."""

import copy
import errno
import json
import os
import signal
import time

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser

from common.errors import InputError
from common.handlers.identity import differences, settings_of
from tests.durability import count_moments, kill_at_moment, mounted_disk


class Scans:
    """Stands for a training set."""

    def __init__(self, *paths):
        self.data = [{"image": str(path)} for path in paths]


class Training:
    """Adds random numbers to a weight; ``losses`` shows what it drew."""

    def __init__(self, folder, interval=4, settings=None, **options):
        self.module, self.losses = torch.nn.Linear(1, 1), []
        torch.nn.init.zeros_(self.module.weight)
        self.engine = Engine(self.step)
        objects = {"save_dir": str(folder), "save_interval": interval, "objects": {"module": self.module}, **options}
        state = {"_target_": "common.handlers.TrainingState", **{key: f"$part_{key}" for key in objects}}
        parser = ConfigParser({"train": {}, **copy.deepcopy(settings or {})})
        parser["train#handlers"] = [state]
        parser.globals.update({f"part_{key}": value for key, value in objects.items()})
        parser.get_parsed_content("train#handlers#0").attach(self.engine)

    def step(self, engine, batch):
        with torch.no_grad():
            self.losses.append(torch.rand(1).item())
            self.module.weight += self.losses[-1] * batch

    def run(self, epochs=2, length=10, seed=5):
        torch.manual_seed(seed)
        self.engine.run(torch.ones(length), max_epochs=epochs)
        return self

    @property
    def weight(self):
        return self.module.weight.item()


def names(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def stop_at(training, iteration):
    """End outright, without ``model.pt``, as a crash does."""

    def crash():
        raise RuntimeError("crash")

    training.engine.add_event_handler(Events.ITERATION_STARTED(once=iteration), crash)
    with pytest.raises(RuntimeError, match="crash"):
        training.run()


def test_the_two_newest_checkpoints_are_kept_and_the_newest_continued(tmp_path):
    whole = Training(tmp_path / "whole").run()
    stop_at(Training(tmp_path / "parts"), 15)
    assert names(tmp_path / "parts") == ["checkpoint_iteration=12.pt", "checkpoint_iteration=8.pt", "training.json"]
    resumed = Training(tmp_path / "parts", resume=True).run(seed=6)
    assert resumed.losses == whole.losses[12:] and resumed.weight == whole.weight
    assert names(tmp_path / "parts") == ["checkpoint_iteration=16.pt", "checkpoint_iteration=20.pt", "training.json"]


def test_what_validation_draws_changes_nothing(tmp_path):
    """A checkpoint at the end of an epoch is written before validation, which a resumed run does not repeat."""

    def run(folder, validated, **options):
        training = Training(folder, interval=10, **options)
        if validated:
            training.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: torch.rand(3))
        return training

    plain, validated = run(tmp_path / "a", False).run(), run(tmp_path / "b", True).run()
    stop_at(run(tmp_path / "c", True), 14)
    resumed = run(tmp_path / "c", True, resume=True).run(seed=7)
    assert plain.losses == validated.losses == validated.losses[:10] + resumed.losses


@pytest.mark.parametrize("damage", [lambda content: content[:-50], lambda _: b"", lambda _: b"rubbish"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_with_a_line(tmp_path, caplog, damage):
    whole = Training(tmp_path / "whole").run()
    stop_at(Training(tmp_path / "parts"), 15)
    newest = tmp_path / "parts" / "checkpoint_iteration=12.pt"
    newest.write_bytes(damage(newest.read_bytes()))
    resumed = Training(tmp_path / "parts", resume=True).run()
    assert f"{newest} is no checkpoint" in caplog.text and "an older checkpoint is tried" in caplog.text
    assert resumed.losses == whole.losses[8:] and resumed.weight == whole.weight
    assert names(tmp_path / "parts")[:2] == ["checkpoint_iteration=16.pt", "checkpoint_iteration=20.pt"]


def test_nothing_to_resume_from(tmp_path):
    with pytest.raises(InputError, match=r"no checkpoint_iteration=\*\.pt to resume from; drop --resume"):
        Training(tmp_path, resume=True).run()
    (tmp_path / "checkpoint_iteration=4.pt").write_bytes(b"")
    with pytest.raises(InputError, match="all are damaged: begin anew"):
        Training(tmp_path, resume=True).run()


def test_a_folder_of_checkpoints_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"ckpt_dir: no folder .*file/x can be made \(Not a directory\); choose"):
        Training(tmp_path / "file/x").run()


def test_a_checkpoint_of_other_settings_is_refused_by_name_and_both_values(tmp_path):
    settings = {"seed": 1, "train": {"loss": {"alignment": 1.0}}, "cache_dir": "a"}
    stop_at(Training(tmp_path, settings=settings), 15)
    Training(tmp_path, resume=True, settings={**settings, "cache_dir": "b"}).run()
    for other, line in (
        ({**settings, "seed": 2}, "seed is 2, was 1"),
        ({**settings, "train": {"loss": {"alignment": 0.5}}}, "train#loss#alignment is 0.5, was 1.0"),
        ({**settings, "kappa": 0.1}, "kappa is 0.1, was not set"),
    ):
        with pytest.raises(InputError, match=rf"checkpoint_iteration=20\.pt is of another training: {line}; use its"):
            Training(tmp_path, resume=True, settings=other).run()


def test_a_checkpoint_of_other_scans_is_refused_by_name(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
    folder, (a, b, c) = tmp_path / "models", (tmp_path / name for name in "abc")
    stop_at(Training(folder, data=Scans(a, b)), 15)
    with pytest.raises(InputError, match="training scan c is new; training scan b is missing"):
        Training(folder, resume=True, data=Scans(a, c)).run()
    (tmp_path / "moved").mkdir()
    b.rename(tmp_path / "moved/b")
    Training(folder, resume=True, data=Scans(a, tmp_path / "moved/b")).run()
    a.write_text("x")
    with pytest.raises(InputError, match="training scan a has another content"):
        Training(folder, resume=True, data=Scans(a, tmp_path / "moved/b")).run()


def test_another_trainings_higher_number_is_never_picked(tmp_path):
    whole = Training(tmp_path / "whole", settings={"seed": 1}).run()
    stop_at(Training(tmp_path / "mine", settings={"seed": 1}), 9)
    other = Training(tmp_path / "other", settings={"seed": 2})
    stop_at(other, 19)
    foreign = tmp_path / "mine" / "checkpoint_iteration=16.pt"
    (tmp_path / "other" / foreign.name).rename(foreign)
    resumed = Training(tmp_path / "mine", settings={"seed": 1}, resume=True).run()
    assert resumed.losses == whole.losses[8:]


def test_more_epochs_are_welcome_unless_the_schedule_spans_them(tmp_path):
    longer = Training(tmp_path / "whole").run(epochs=3)
    Training(tmp_path / "parts").run(epochs=2)
    assert Training(tmp_path / "parts", resume=True).run(epochs=3).weight == longer.weight
    with pytest.raises(InputError, match=r"28\.pt stands at epoch 2, max_epochs is 1: set it higher"):
        Training(tmp_path / "parts", resume=True).run(epochs=1)
    spanning = {"lr_scheduler": {"total_steps": "$@train#trainer#max_epochs * 10"}}
    Training(tmp_path / "spanned", settings=spanning).run(epochs=2)
    with pytest.raises(InputError, match="max_epochs is 3, was 2"):
        Training(tmp_path / "spanned", settings=spanning, resume=True).run(epochs=3)


def test_an_unfinished_training_is_lost_only_when_asked(tmp_path):
    stop_at(Training(tmp_path), 15)
    before = names(tmp_path)
    with pytest.raises(InputError, match=r"unfinished training \(checkpoint_iteration=12\.pt\): resume continues it"):
        Training(tmp_path).run()
    assert names(tmp_path) == before
    stop_at(Training(tmp_path, restart=True), 6)
    assert names(tmp_path) == ["checkpoint_iteration=4.pt", "training.json"]


def test_a_finished_training_is_begun_anew_and_its_weights_are_kept(tmp_path):
    Training(tmp_path).run()
    (tmp_path / "model.pt").write_bytes(b"good")
    stop_at(Training(tmp_path), 3)
    assert (tmp_path / "model.pt").read_bytes() == (tmp_path / "model_previous.pt").read_bytes() == b"good"


def test_in_a_server_a_training_always_begins(tmp_path, monkeypatch):
    stop_at(Training(tmp_path), 15)
    monkeypatch.setattr("common.handlers.resuming.in_server", lambda: True)
    assert len(Training(tmp_path).run().losses) == 20


def test_a_second_training_in_the_folder_is_refused_while_the_first_lives(tmp_path):
    first = Training(tmp_path)
    refused = []

    def begin_second():
        with pytest.raises(
            InputError, match=rf"a training is running here \(process {os.getpid()}\); wait for"
        ) as error:
            Training(tmp_path).run()
        refused.append(error)

    first.engine.add_event_handler(Events.ITERATION_STARTED(once=7), begin_second)
    first.run()
    assert len(refused) == 1
    Training(tmp_path).run()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [Events.ITERATION_STARTED(once=7), Events.EPOCH_COMPLETED(once=1)])
def test_a_signal_ends_the_training_with_a_checkpoint(tmp_path, number, moment):
    whole = Training(tmp_path / "whole").run()
    training = Training(tmp_path / "parts")
    training.engine.add_event_handler(moment, lambda: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        training.run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    done = len(training.losses)
    assert done in (7, 10) and f"checkpoint_iteration={done}.pt" in names(tmp_path / "parts")
    assert not json.loads((tmp_path / "parts/training.json").read_text())["finished"]
    resumed = Training(tmp_path / "parts", resume=True).run()
    assert training.losses + resumed.losses == whole.losses and resumed.weight == whole.weight


def test_a_second_signal_later_does_not_wait(tmp_path, monkeypatch):
    monkeypatch.setattr("common.handlers.interrupts.PATIENCE", 0.0)
    training = Training(tmp_path)

    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    training.engine.add_event_handler(Events.ITERATION_STARTED(once=7), interrupt)
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert len(training.losses) == 6
    assert names(tmp_path) == ["checkpoint_iteration=4.pt", "training.json"]


def test_a_full_disk_keeps_the_checkpoints_before(tmp_path):
    with mounted_disk(tmp_path / "disk", "1m") as disk:
        padding = torch.nn.Linear(300, 300)  # 360 kB: two fit, a third one does not
        training = Training(disk, objects={"module": torch.nn.Linear(1, 1), "padding": padding})
        with pytest.raises(OSError, match=r"checkpoint_iteration=12\.pt: no space left") as error:
            training.run()
        assert error.value.errno == errno.ENOSPC
        assert names(disk) == ["checkpoint_iteration=4.pt", "checkpoint_iteration=8.pt", "training.json"]
        (disk / "checkpoint_iteration=4.pt").unlink()
        resumed = Training(disk, objects={"module": torch.nn.Linear(1, 1), "padding": padding}, resume=True)
        with pytest.raises(OSError, match="no space left"):
            resumed.run()
        assert resumed.engine.state.iteration == 16


@pytest.mark.slow
def test_a_kill_before_any_change_of_a_file_loses_nothing(tmp_path):
    """Two kills each: of the training, and of the one that goes on from what it left."""

    def train(folder):
        return lambda: Training(folder, resume=any(folder.glob("checkpoint_*"))).run()

    whole = Training(tmp_path / "whole").run()
    moments = count_moments(train(tmp_path / "counted"), tmp_path / "counted")
    assert moments > 20
    for moment in range(moments):
        folder = tmp_path / str(moment)
        assert kill_at_moment(train(folder), moment, folder)
        kill_at_moment(train(folder), moment * 7 % moments, folder)
        assert train(folder)().weight == whole.weight
        assert not [path for path in folder.iterdir() if ".partial." in path.name]


def test_settings_are_compared_by_full_name():
    config = {"a": 1, "b": {"c": [1, 2], "d": [{"e": None}]}, "ckpt_dir": "x", "optimizer": {"lr": 1, "fused": True}}
    settings = settings_of(config)
    assert settings == {"a": "1", "b#c": "[1, 2]", "b#d#0#e": "null", "optimizer#lr": "1"}
    other = {**settings, "b#c": "[1, 3]"}
    empty = {"scans": {}}
    assert differences({"settings": settings, **empty}, {"settings": other, **empty}) == ["b#c is [1, 2], was [1, 3]"]
