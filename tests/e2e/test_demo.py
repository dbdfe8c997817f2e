"""`make demo`'s promise for every bundle: what quick training on the phantom reaches on held-out subjects."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from common.evaluation import summarise

ROOT = Path(__file__).parents[2]
# Protocol, lowest mean Dice, least gain over the untrained network. docs/results.md has what was reached. Rounding, and
# with it the result, depends on the number of threads and on the processor; the floors leave room for that. Under k12
# LSNet is told where to look, so that its untrained network is good already.
PROMISES = {
    "adnet": [("ep1", 0.75, 0.5), ("ep2", 0.65, 0.5)],
    "alpnet3d": [("ep1", 0.45, 0.25), ("ep2", 0.42, 0.25)],
    "crapnet": [("ep1", 0.55, 0.25), ("ep2", 0.4, 0.2)],
    "lsnet": [("k12", 0.79, 0.04), ("ep2", 0.62, 0.1)],
    "ssl_alpnet": [("ep1", 0.58, 0.3), ("ep2", 0.32, 0.15)],
}
# The same after part of the training, in epochs, of one network each on slices, on volumes and with labels.
SHORT_PROMISES = {
    "adnet": (4, [("ep1", 0.6, 0.4), ("ep2", 0.5, 0.4)]),
    "alpnet3d": (4, [("ep1", 0.36, 0.18), ("ep2", 0.34, 0.18)]),
    "lsnet": (2, [("k12", 0.78, 0.03), ("ep2", 0.6, 0.08)]),
}


def type_what_it_says(output, folder):
    """The two commands that the demo ends with, in a shell."""
    lines = output[output.index("Next, as it stands:") :].splitlines()[1:]
    assert len(lines) == 2
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answers = [
        subprocess.run(line, shell=True, cwd=ROOT, env=environment, check=True, text=True, capture_output=True)
        for line in lines
    ]
    assert " ml, slices " in answers[0].stdout
    assert len(list((folder / "segmented").glob("*_seg.nii.gz"))) == 1
    assert (folder / "segmented" / "phantom_01_preview.png").is_file()
    assert (folder / "supervoxels.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def check(run_python, tmp_path):
    def run(bundle, promises, *options):
        arguments = ("--bundle", f"bundles/{bundle}", "--output-dir", tmp_path, *options)
        output = run_python("-m", "common.tools.demo", *arguments, timeout=1800).stdout
        scores = {
            name: summarise(json.loads((tmp_path / name / "cases.json").read_text()))
            for name in ("untrained", "trained")
        }
        for protocol, floor, gain in promises:
            trained, untrained = scores["trained"][protocol]["mean"], scores["untrained"][protocol]["mean"]
            assert trained >= floor, output[-1500:]
            assert trained >= untrained + gain, output[-1500:]
        assert (tmp_path / "overlay.png").read_bytes().startswith(b"\x89PNG")
        type_what_it_says(output, tmp_path)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("bundle", SHORT_PROMISES)
def test_a_part_of_the_training_beats_the_untrained_network(bundle, check):
    epochs, promises = SHORT_PROMISES[bundle]
    check(bundle, promises, "--max-epochs", str(epochs))


@pytest.mark.demo
@pytest.mark.parametrize("bundle", PROMISES)
def test_quick_training_beats_the_untrained_network(bundle, check):
    check(bundle, PROMISES[bundle])
