"""Paths are data: whatever signs they hold, the command line and the bundle runner take them as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import fire
import nibabel as nib
import pytest
import torch
import yaml
from monai.bundle import run
from typer.testing import CliRunner

from common.configuration.workflow import bundle_workflow
from common.files.literals import literal
from common.tools.cli import app
from common.tools.crossval.execution import execute
from common.tools.crossval.runs import Experiment, list_runs
from tests.e2e.tiny import SMALL, SMALL_TRAINING, save, scan

# As file names and as folder names; the first is what a shell would run.
HOSTILE = [
    "$(touch made)",
    "scan, portal",
    "@image",
    "%image",
    "$__import__('os').mkdir('made')",
    "a#b",
    "p;1 'q'",
    "-x",
]


@pytest.fixture(scope="module")
def bundle(bundle_root, tmp_path_factory):
    """ADNet with a tiny network as overlay, in a folder with a hostile name, and untrained weights."""
    folder = tmp_path_factory.mktemp("bundles") / "ad@net #1, $x"
    shutil.copytree(bundle_root("adnet"), folder, ignore=shutil.ignore_patterns("models", "eval", "cache"))
    (folder / "configs" / "tiny.yaml").write_text(yaml.safe_dump(SMALL["adnet"]))
    return folder


@pytest.fixture
def work(tmp_path, monkeypatch, own_scripts):
    """A folder to work in, whose names are relative ones."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path / "work"
    assert not list(tmp_path.rglob("made*"))


def network(bundle: Path, path: Path) -> None:
    workflow = bundle_workflow(bundle, ["inference", "tiny"], "infer", device="cpu", checkpoint=None)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(workflow.parser.get_parsed_content("network_def").state_dict(), path)


def scans(*names: str) -> list[str]:
    image, label = scan(1)
    save(Path("support") / "s.nii.gz", image)
    save(Path("support") / "l.nii.gz", label)
    return [save(Path(name), scan(number)[0]) for number, name in enumerate(names, 2)]


def answers(folder: Path) -> list[str]:
    assert all(nib.load(path).shape == (64, 60, 6) for path in folder.iterdir())
    return sorted(path.name.removesuffix("_seg.nii.gz") for path in folder.iterdir())


def test_command_line(bundle, work):
    weights = work / "$x, @y" / "%model#1.pt"
    network(bundle, weights)
    files = scans(*(f"{name}/{name}.nii.gz" for name in HOSTILE))
    output = work / "$out, #1 @a%"
    arguments = ["segment", "--bundle", str(bundle), "--config", "tiny", "--checkpoint", str(weights)]
    arguments += ["--support-image=support/s.nii.gz", "--support-label=support/l.nii.gz", f"--output-dir={output}"]
    result = CliRunner().invoke(app, [*arguments, *(f"--image={name}" for name in files)])
    assert result.exit_code == 0, result.output + str(result.exception)
    assert answers(output) == sorted(HOSTILE)
    result = CliRunner().invoke(app, [*arguments, f"--image={files[1]},{files[6]}", f"--output-dir={output}2"])
    assert result.exit_code == 0, result.output + str(result.exception)
    assert answers(Path(f"{output}2")) == sorted([HOSTILE[1], HOSTILE[6]])


def test_bundle_runner(bundle, work, monkeypatch):
    """A file that exists is taken whole; Fire reads what begins with no . or /, and a literal carries all through."""
    network(bundle, work / "model.pt")
    files = scans("scan, portal.nii.gz", "b#2/a#1.nii.gz", "$x.nii.gz")
    configs = str([str(bundle / "configs" / f"{name}.yaml") for name in ("inference", "tiny")])
    command = ["run", "--config_file", configs, "--checkpoint", "model.pt", "--device", "cpu"]
    command += ["--support_image", "support/s.nii.gz", "--support_label", "support/l.nii.gz"]
    for number, (text, name) in enumerate(
        [
            (files[0], "scan, portal"),
            (str(work / files[1]), "a#1"),
            (literal(files[2]), "$x"),
            (literal(files[:2]), None),
        ]
    ):
        output = work / f"out{number}"
        fire.Fire({"run": run}, command=[*command, "--image", text, "--output_dir", str(output)])
        assert answers(output) == ([name] if name else ["a#1", "scan, portal"])


def test_bundle_runner_refuses_a_file_that_monai_would_evaluate(bundle, work):
    (path,) = scans("$x.nii.gz")
    configs = str([str(bundle / "configs" / f"{name}.yaml") for name in ("inference", "tiny")])
    with pytest.raises(SystemExit, match=r"^error: .*image.* ./ before a leading \$"):
        fire.Fire({"run": run}, command=["run", "--config_file", configs, "--image", path])


@pytest.mark.slow
def test_training_and_evaluation_in_processes_of_their_own(dataset, bundle_root, work, monkeypatch):
    """Cross-validation hands its folders to MONAI's runner as literals."""
    monkeypatch.setenv("PYTHONPATH", str(bundle_root("adnet").parents[1]))
    Path("$1, @data #2").symlink_to(dataset)
    experiment = Experiment(bundle_root("adnet"), "$1, @data #2", work / "%out, #1 @y", ["ep2"])
    short = {"episodes_per_epoch": 4, "max_epochs": 1, "val_interval": 2, "device": "cpu"}
    (only,) = list_runs(experiment.bundle, "tiny", [0], overrides={**SMALL_TRAINING["adnet"], **short})
    result = json.loads(execute(experiment, only).read_text())
    assert {row["organ"] for row in result["cases"]} == {"liver", "spleen"}
    assert sorted(path.name for path in experiment.output.iterdir()) == [f"{only.name}.json", "cache", "work"]
    assert sorted(path.name for path in work.iterdir()) == ["$1, @data #2", "%out, #1 @y"]
