"""The plugin seen by napari and by the command line."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import common
from common.tools.cli import app
from tests.e2e.tiny import SMALL_TRAINING, save, scan
from tests.test_project import refuse_imports

MANIFEST = Path(common.__file__).parent / "tools/viewer/napari.yaml"


def test_without_the_extra_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr("common.tools.cli.viewing.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["open", "scan.nii.gz"])
    assert 'needs napari and Qt: pip install "fewshot-bundles[napari]"' in str(result.exception.code)


def test_without_a_display_the_command_says_so(monkeypatch):
    monkeypatch.setattr("common.tools.cli.viewing.find_spec", lambda name: object())
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(app, ["open", "scan.nii.gz"])
    assert "there is no display" in str(result.exception.code)


def test_the_command_line_and_the_session_need_neither_napari_nor_qt(run_python):
    blocked = ["napari", "magicgui", "qtpy", "PySide6", "PyQt6", "PyQt5"]
    modules = "common, common.tools.cli, common.tools.viewer.session, common.tools.viewer.saving"
    run_python("-c", refuse_imports(f"import {modules}", blocked))


@pytest.mark.napari
def test_npe2_finds_the_manifest_valid():
    pytest.importorskip("npe2", reason="napari is not installed (extra napari): its plugin was not tested")
    result = subprocess.run([sys.executable, "-m", "npe2", "validate", MANIFEST], capture_output=True, text=True)
    assert result.returncode == 0 and "valid" in result.stdout, result.stderr


@pytest.mark.napari
def test_napari_opens_scans_and_the_widget_by_the_plugin(window, messages, tmp_path):
    from npe2 import PluginManager

    hand = window()
    manager = PluginManager.instance()
    if "fewshot-bundles" not in manager:
        pytest.fail("the plugin is not installed: pip install --editable .")
    layers = hand.viewer.open(save(tmp_path / "a.nii.gz", scan(1)[0]), plugin="fewshot-bundles")
    assert [layer.name for layer in hand.widget.drawn.viewer.layers] == ["a"] and layers[0].data.shape == (64, 60, 6)
    (tmp_path / "broken.nii.gz").write_bytes(b"no scan")
    assert hand.viewer.open(str(tmp_path / "broken.nii.gz"), plugin="fewshot-bundles") == []
    assert "broken.nii.gz" in messages()[-1]
    _, widget = hand.viewer.window.add_plugin_dock_widget("fewshot-bundles", "Few-shot segmentation")
    assert [name for name, _ in widget.drawn.scans()] == ["a"]


def begin_training(hand, tmp_path, **steps):
    model = hand.widget.model
    model.folder.value = str(tmp_path / "runs")
    settings = {**SMALL_TRAINING["adnet"], "batch_size": 1, **steps}
    model.settings = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    model.settings += ["--config", "cpu"]
    hand.press(model.train)
    assert not model.train.enabled
    return model


@pytest.mark.napari
def test_a_training_on_the_open_scans_gives_weights(window, messages, tmp_path):
    hand = window(*(save(tmp_path / f"{number}.nii.gz", scan(number)[0]) for number in (1, 2)))
    model = begin_training(hand, tmp_path, max_epochs=1, episodes_per_epoch=60)
    hand.wait(lambda: model.train.enabled, seconds=400)
    assert model.weights.value.endswith("model.pt"), (model.said.value, messages())
    assert Path(model.weights.value).is_file() and model.figure.axes[0].lines


@pytest.mark.napari
@pytest.mark.parametrize("way", ["the button", "the window's end"])
def test_a_training_that_is_stopped_keeps_its_state_and_names_what_goes_on(way, window, tmp_path):
    hand = window(save(tmp_path / "1.nii.gz", scan(1)[0]))
    model = begin_training(hand, tmp_path, max_epochs=50, episodes_per_epoch=200)
    hand.wait(lambda: "steps are left" in model.said.value, seconds=400)
    training = model._training
    if way == "the button":
        hand.press(model.stop)
    else:
        training.leave()
    hand.wait(lambda: model.train.enabled)
    assert model.said.value == f"stopped; this goes on: {training.again}"
    assert list(training.run.glob("checkpoint_*.pt")) and not (training.run / "model.pt").exists()
    words = shlex.split(training.again)
    assert words[:2] == ["fewshot", "train"] and words[-1] == "--resume" and str(training.run) in words
