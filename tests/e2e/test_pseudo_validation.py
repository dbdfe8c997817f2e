"""Training without labels on ten scans: one is held out, its supervoxels show the progress and disturb nothing."""

import re
from types import SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from common.configuration.workflow import bundle_workflow, config_file
from common.handlers.pseudo_validation import PseudoLabelValidation
from tests.e2e.tiny import SMALL_TRAINING, save, scan

pytestmark = pytest.mark.usefixtures("own_scripts")


@pytest.fixture
def train(bundle_root, tmp_path):
    for number in range(10):
        save(tmp_path / "scans" / f"case_{number}.nii.gz", scan(number)[0])

    def run(bundle, name, **settings):
        folder = tmp_path / name
        places = {"ckpt_dir": str(folder), "output_dir": str(folder / "curves"), "cache_dir": str(tmp_path / "cache")}
        settings = {**SMALL_TRAINING[bundle], **places, "dataset_dir": str(tmp_path / "scans"), **settings}
        workflow = bundle_workflow(bundle_root(bundle), ["train"], max_epochs=3, **settings)
        workflow.run()
        return workflow.parser, torch.load(folder / "model.pt", weights_only=False)

    return run


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])
def test_progress_is_shown_and_nothing_disturbed(bundle, train, tmp_path, capsys):
    parser, weights = train(bundle, "followed")
    split = parser.get_parsed_content("split")
    assert (len(split["train"]), len(split["held_out"])) == (9, 1)
    shown = capsys.readouterr().out
    assert "1 held out to follow it, the training is on the others (9)" in shown
    assert re.findall(r"epoch (\d): Dice 0\.\d{3} on supervoxels of 1 held-out scan", shown) == ["1", "2", "3"]
    events = EventAccumulator(str(tmp_path / "followed" / "curves")).Reload()
    assert len(events.Scalars("pseudo_label_dice")) == 3
    handlers = [handler for handler in parser["train#handlers"] if "Pseudo" not in handler["_target_"]]
    _, plain = train(bundle, "plain", **{"train#handlers": handlers})
    assert all(torch.equal(weights[name], plain[name]) for name in plain)


class Trainer:
    """What the handler looks at of an engine."""

    def __init__(self, epoch):
        self.state = SimpleNamespace(epoch=epoch)


def test_a_fall_is_warned_of(train, capsys, monkeypatch):
    parser, _ = train("adnet", "run")
    handler = parser.get_parsed_content("train#handlers#3")
    assert isinstance(handler, PseudoLabelValidation) and len(handler.scores) == 3
    assert handler.score() == handler.score()
    handler.scores = [0.3, 0.6, 0.5]
    monkeypatch.setattr(handler, "score", lambda: 0.4)
    handler._show(Trainer(4))
    assert "fell to 0.400, it was 0.600 2 epochs ago" in capsys.readouterr().out


def test_two_processes_wait_for_one_another(train, run_python, bundle_root, tmp_path):
    """One process scores, and none waits for ever: held-out scans are prepared by both."""
    configs = [str(config_file(bundle_root("adnet"), name)) for name in ("train", "multi_gpu_train")]
    places = {"ckpt_dir": tmp_path / "two", "output_dir": tmp_path / "two/curves", "cache_dir": tmp_path / "two/cache"}
    settings = {**SMALL_TRAINING["adnet"], **places, "dataset_dir": tmp_path / "scans", "max_epochs": 2}
    options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    launch = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "monai.bundle",
        "run",
        "training",
    ]
    shown = run_python(
        *launch, "--config_file", str(configs), *options, "--episodes_per_epoch", "4", timeout=240
    ).stdout
    assert re.findall(r"epoch (\d): Dice", shown) == ["1", "2"]
    assert (tmp_path / "two" / "model.pt").is_file()
