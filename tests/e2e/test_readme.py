"""The README, typed: every command and example in it runs as printed, trainings made short.

Files and folders have the names that it gives them, below a folder of the test.
"""

import re
import shlex
import shutil
from pathlib import Path

import nibabel as nib
import pytest

from common.data.folds import PUBLISHED_SUBJECTS
from tests.data.adapters.raw import write_chaos
from tests.e2e.tiny import SMALL_TRAINING, save, scan
from tests.test_documented_commands import ROOT, commands

pytestmark = pytest.mark.slow
TEXT = (ROOT / "README.md").read_text()
PRINTED = [*re.findall(r"`(fewshot where [^`]+)`", TEXT), *commands(ROOT / "README.md")]
TRAINING = "fewshot train --data /data/my_scans"
SHORT = {**SMALL_TRAINING["adnet"], "episodes_per_epoch": 4, "max_epochs": 1, "batch_size": 1, "val_interval": 1}
FOR_FEWSHOT = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
# What makes a command short; the README's own words come before it.
ADDED = {
    "fewshot train": FOR_FEWSHOT,
    "fewshot crossval": ["--folds", "0", "--repeats", "1", *FOR_FEWSHOT],
    "python -m monai.bundle run training": [part for key, value in SHORT.items() for part in (f"--{key}", str(value))],
}


@pytest.fixture
def typed(tmp_path, run_python, dataset):
    """Give ``typed(line)``: run a line of the README where its files are, ``/data`` and ``/downloads`` too."""
    shutil.copytree(ROOT / "bundles", tmp_path / "bundles", ignore=shutil.ignore_patterns("models", "eval", "cache"))
    for name, seed in (("a", 1), ("b", 2), ("scan", 3)):
        save(tmp_path / f"{name}.nii.gz", scan(seed)[0])
    save(tmp_path / "a_organs.nii.gz", scan(1)[1])
    shutil.copytree(dataset, tmp_path / "data/my_scans")
    for number in PUBLISHED_SUBJECTS["chaos"]:
        write_chaos(tmp_path / "downloads/CHAOS/Train_Sets", number)

    def run(line):
        for place in ("/data/", "/downloads/"):
            line = line.replace(f" {place}", f" {tmp_path}{place}")
        words = shlex.split(line)
        added = next((words for start, words in ADDED.items() if line.startswith(start)), [])
        program = ["-m", "common.tools.cli", *words[1:]] if words[0] == "fewshot" else words[1:]
        printed = run_python(*program, *added, cwd=tmp_path).stdout
        assert "Traceback" not in printed
        return printed

    return run


def test_every_line_runs(typed, tmp_path, run_python):
    """One test: they build on each other. The model comes from the training, which the README explains second."""
    typed(TRAINING)
    (model,) = tmp_path.rglob("model.pt")
    for place in (tmp_path, tmp_path / "bundles/adnet/models"):
        place.mkdir(exist_ok=True)
        shutil.copy(model, place / "model.pt")
    assert TRAINING in PRINTED and len(PRINTED) >= 12
    for line in PRINTED:
        if line == TRAINING:
            continue
        printed = typed(line)
        if line.startswith("fewshot segment"):
            assert nib.load(tmp_path / "out/b_seg.nii.gz").shape == nib.load(tmp_path / "b.nii.gz").shape
            assert (tmp_path / "out/b_preview.png").stat().st_size > 1000 and "ml" in printed
        if line.startswith("fewshot where"):
            assert Path(printed.strip()).name == "adnet"
        if line.startswith("fewshot report"):
            assert list(tmp_path.rglob("*.html"))
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    (tmp_path / "example.py").write_text("\n".join(line.removeprefix("   ") for line in code.splitlines()))
    run_python("example.py", cwd=tmp_path)
    assert (tmp_path / "out_python/b_seg.nii.gz").is_file()
