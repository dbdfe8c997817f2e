"""Wrong settings and broken files end every command in one line, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from monai.bundle import run
from typer.testing import CliRunner

from common.configuration.workflow import bundle_workflow
from common.errors import InputError
from common.tools.cli import app

ROOT = Path(__file__).parents[1] / "bundles"
pytestmark = pytest.mark.usefixtures("own_scripts")


@pytest.mark.parametrize(("configs", "setting"), [("train", {"max_epoch": 1}), ("inference", {"query_slices": 3})])
def test_monais_runner_ends_with_one_line_and_writes_nothing(tmp_path, monkeypatch, configs, setting):
    folder = ROOT / "adnet"
    monkeypatch.syspath_prepend(str(folder))
    places = {"output_dir": str(tmp_path / "out")}
    if configs == "train":
        places |= {"ckpt_dir": str(tmp_path / "out"), "cache_dir": str(tmp_path / "out")}
    with pytest.raises(SystemExit) as stop:
        run(config_file=str(folder / "configs" / f"{configs}.yaml"), **places, **setting)
    assert str(stop.value).startswith(f"error: {next(iter(setting))}") and "\n" not in str(stop.value)
    assert list(tmp_path.iterdir()) == []


def test_flags_may_be_words_as_monais_runner_hands_them_on(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "adnet"))
    places = {"image": str(tmp_path / "no.nii.gz"), "support_image": "a.nii.gz", "support_label": "b.nii.gz"}
    places |= {"output_dir": str(tmp_path / "out"), "confidence": "true", "dicom_seg": "False", "overwrite": "TRUE"}
    with pytest.raises(SystemExit, match="^error: .*no file"):
        run(config_file=str(ROOT / "adnet" / "configs" / "inference.yaml"), **places)
    with pytest.raises(SystemExit, match="^error: confidence is 'yes'; it takes true or false"):
        run(config_file=str(ROOT / "adnet" / "configs" / "inference.yaml"), **{**places, "confidence": "yes"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("crossval --override max_epoch=3", "did you mean max_epochs?"),
        ("crossval --override distance=false", "did you mean distances?"),
        ("crossval --override max_epochs", "takes ID=VALUE"),
        ("crossval --override max_epochs=[", "takes ID=VALUE"),
        ("crossval --protocols ep9", "ep1, ep2, k and a number"),
        ("crossval --engine cloud", "local, ray or slurm"),
        ("crossval --task 99", "from 0 to 4"),
        ("crossval --folds 7", "folds are 0 to 4"),
        ("crossval --folds x", "whole numbers"),
        ("crossval --folds 4-2", "got '4-2'"),
        ("crossval --folds=-1", "got '-1'"),
        ("crossval --folds 1,1", "got '1,1'"),
        ("crossval --folds=", "got ''"),
        ("crossval --data nowhere", "nowhere is not a folder: set"),
        ("crossval --output /dev/null", "--output: no folder /dev/null can be made"),
        ("statistics --dataset-dir phantom --override image_size=0", "from 16 to 4096"),
        ("train --config nothing", "no configuration"),
    ],
)
def test_fewshot_refuses_in_one_line_and_writes_nothing(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    verb, *options = arguments.split()
    result = CliRunner().invoke(app, [verb, "--bundle", str(ROOT / "adnet"), *options])
    assert isinstance(result.exception, SystemExit)
    line = str(result.exception.code)
    assert line.startswith("error: ") and words in line and "\n" not in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["jobs", "processes", "repeats", "setting", "seed", "task"])
def test_numbers_on_the_command_line_have_bounds(option):
    result = CliRunner().invoke(app, ["crossval", "--bundle", str(ROOT / "adnet"), f"--{option}", "-1"])
    assert result.exit_code == 2 and f"Invalid value for '--{option}'" in result.output


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("max_epochs: [1", "cannot be read"),
        ("- 1", "holds no ids"),
        ("", "holds no ids"),
        ("train#nothing#at: 1", "this configuration has no train#nothing"),
        ("+max_epochs: [1]", "must be dict or list"),
        ("max_epoch: 3", "did you mean max_epochs?"),
    ],
)
def test_a_broken_overlay_is_named(tmp_path, text, words):
    configs = copy_configs(tmp_path)
    (configs / "mine.yaml").write_text(text)
    with pytest.raises(InputError) as failure:
        bundle_workflow(tmp_path, ["train", "mine"])
    assert words in str(failure.value) and ("mine.yaml" in str(failure.value) or "max_epoch:" in str(failure.value))


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_metadata_that_cannot_be_read_is_named(tmp_path, content):
    metadata = copy_configs(tmp_path) / "metadata.json"
    metadata.unlink() if content is None else metadata.write_text(content)
    with pytest.raises(InputError, match="metadata.json"):
        bundle_workflow(tmp_path, ["train"])


def copy_configs(folder):
    """Copy what a configuration needs to be read."""
    for name in ("configs/train.yaml", "configs/metadata.json", "configs/logging.conf", "scripts/__init__.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((ROOT / "adnet" / name).read_bytes())
    (folder / "scripts/network.py").write_bytes((ROOT / "adnet/scripts/network.py").read_bytes())
    return folder / "configs"
