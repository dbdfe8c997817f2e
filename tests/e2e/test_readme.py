"""The README, typed: every command and example in it runs as printed, trainings made short.

Files and folders have the names that it gives them, below a folder of the test.
"""

import re
import shlex
import shutil
from pathlib import Path

import nibabel as nib
import pytest

from tests.data.adapters.raw import write_chaos
from tests.e2e.tiny import SMALL_TRAINING, save, scan
from tests.test_documented_commands import ROOT, commands

pytestmark = pytest.mark.slow
TEXT = (ROOT / "README.md").read_text()
PRINTED = [*re.findall(r"`(fewshot (?:doctor|where) [^`]+)`", TEXT), *commands(ROOT / "README.md")]
SHORT = {**SMALL_TRAINING["adnet"], "episodes_per_epoch": 4, "max_epochs": 1, "batch_size": 1, "val_interval": 1}
FOR_FEWSHOT = [part for key, value in SHORT.items() for part in ("--set", f"{key}={value}")]
# What makes a command short; the README's own words come before it.
ADDED = {
    "fewshot train": FOR_FEWSHOT,
    "fewshot crossval": ["--folds", "0", "--repeats", "1", *FOR_FEWSHOT],
    "python -m monai.bundle run training": [part for key, value in SHORT.items() for part in (f"--{key}", str(value))],
}


@pytest.fixture(scope="module")
def typed(tmp_path_factory, run_python, dataset):
    """Give `typed(line)`: run a line of the README where its files are; `/data` and `/downloads` lie there too."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "bundles", folder / "bundles", ignore=shutil.ignore_patterns("models", "eval", "cache"))
    for name, seed in (("a", 1), ("b", 2)):
        image, label = scan(seed)
        save(folder / f"{name}.nii.gz", image)
    save(folder / "a_organs.nii.gz", scan(1)[1])
    shutil.copy(folder / "a.nii.gz", folder / "scan.nii.gz")
    shutil.copytree(dataset, folder / "data/my_scans")
    for number in (1, 2, 3, 5, 8, 10, 13, 15, 19, 20, 21, 22, 31, 32, 33, 34, 36, 37, 38, 39):
        write_chaos(folder / "downloads/CHAOS/Train_Sets", number)

    def run(line):
        for place in ("/data/", "/downloads/"):
            line = line.replace(f" {place}", f" {folder}{place}")
        words = shlex.split(line)
        added = next((words for start, words in ADDED.items() if line.startswith(start)), [])
        program = ["-m", "common.cli", *words[1:]] if words[0] == "fewshot" else words[1:]
        return run_python(*program, *added, cwd=folder).stdout

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def trained(typed):
    """What the README's training prints; its model lies where the README has it."""
    printed = typed("fewshot train --data /data/my_scans")
    (model,) = (typed.folder).rglob("model.pt")
    shutil.copy(model, typed.folder / "model.pt")
    (typed.folder / "bundles/adnet/models").mkdir()
    shutil.copy(model, typed.folder / "bundles/adnet/models")
    return printed


@pytest.mark.parametrize("line", PRINTED, ids=lambda line: line[:100])
def test_it_runs(typed, trained, line):
    printed = trained if line == "fewshot train --data /data/my_scans" else typed(line)
    assert "Traceback" not in printed
    folder = typed.folder
    if line.startswith("fewshot segment"):
        assert nib.load(folder / "out/b_seg.nii.gz").shape == nib.load(folder / "b.nii.gz").shape
        assert (folder / "out/b_preview.png").stat().st_size > 1000 and "ml" in printed
    if line.startswith("fewshot where"):
        assert Path(printed.strip()).name == "adnet"
    if line.startswith("fewshot report"):
        assert list(folder.rglob("*.html"))


def test_the_python_example_runs(typed, trained, run_python):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    (typed.folder / "example.py").write_text("\n".join(line.removeprefix("   ") for line in code.splitlines()))
    run_python("example.py", cwd=typed.folder)
    assert (typed.folder / "out_python/b_seg.nii.gz").is_file()
