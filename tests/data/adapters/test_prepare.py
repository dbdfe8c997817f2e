"""What holds for every challenge: idempotent, resumable, atomic, the same in parallel."""

import json
import os

import numpy as np
import pytest

from common.errors import InputError
from common.tools.challenges import DamagedInputError, prepare, write
from tests.data.adapters.raw import SABS_VALUES, grid, image_at, label_at, save_nifti, world

SHAPE = (64, 48, 10)


def quiet(tree, output, **options):
    return prepare("sabs", tree, output, say=lambda line: None, **{"num_workers": 1, **options})


def scan(tree, number, offset=0):
    affine = grid(SHAPE, (6.0, 7.0, 14.0), "LAS")
    points = world(SHAPE, affine)
    save_nifti(tree / f"img{number:04d}.nii.gz", (image_at(points, offset) - 450).astype(np.int16), affine)
    save_nifti(tree / f"label{number:04d}.nii.gz", label_at(points, SABS_VALUES), affine)


@pytest.fixture
def tree(tmp_path):
    for number in (1, 2, 3):
        scan(tmp_path / "raw", number)
    return tmp_path / "raw"


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_second_call_changes_nothing(tree, tmp_path):
    quiet(tree, tmp_path / "out")
    before = state(tmp_path / "out/imagesTr") | state(tmp_path / "out/labelsTr")
    text = (tmp_path / "out/dataset.json").read_text()
    summary = quiet(tree, tmp_path / "out")
    assert summary.prepared == [] and summary.kept == ["sabs_0001", "sabs_0002", "sabs_0003"]
    assert state(tmp_path / "out/imagesTr") | state(tmp_path / "out/labelsTr") == before
    assert (tmp_path / "out/dataset.json").read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_only_what_changed_is_made_again(tree, tmp_path, monkeypatch):
    quiet(tree, tmp_path / "out")
    scan(tree, 2, offset=5)
    os.utime(tree / "img0001.nii.gz")
    (tmp_path / "out/imagesTr/sabs_0003.nii.gz").unlink()
    summary = quiet(tree, tmp_path / "out")
    assert (summary.prepared, summary.kept) == (["sabs_0002", "sabs_0003"], ["sabs_0001"])


def test_scans_of_earlier_calls_stay(tree, tmp_path):
    quiet(tree, tmp_path / "out")
    scan(tmp_path / "more", 4)
    assert quiet(tmp_path / "more", tmp_path / "out").prepared == ["sabs_0004"]
    assert json.loads((tmp_path / "out/dataset.json").read_text())["numTraining"] == 4


@pytest.mark.slow
def test_same_bits_in_parallel(tree, tmp_path):
    quiet(tree, tmp_path / "one")
    quiet(tree, tmp_path / "two", num_workers=2)
    one, two = ({p.relative_to(f): c[1] for p, c in state(f).items()} for f in (tmp_path / "one", tmp_path / "two"))
    assert one == two


def test_fault_keeps_the_work_but_not_the_output(tree, tmp_path, monkeypatch):
    """The sound scans wait beside the output and are not computed again once the damaged one is repaired."""
    whole = (tree / "img0002.nii.gz").read_bytes()
    (tree / "img0002.nii.gz").write_bytes(whole[:1000])
    with pytest.raises(DamagedInputError, match="1 faults, 2 sound scans"):
        quiet(tree, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tree / "img0002.nii.gz").write_bytes(whole)
    written = []
    monkeypatch.setattr(
        "common.tools.challenges.jobs.write_scan", lambda *a: written.append(a[1]) or write.write_scan(*a)
    )
    assert len(quiet(tree, tmp_path / "out").prepared) == 3
    assert written == ["sabs_0002"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_fault_leaves_an_older_output_untouched(tree, tmp_path):
    quiet(tree, tmp_path / "out")
    before = state(tmp_path / "out")
    scan(tree, 1, offset=5)
    (tree / "img0002.nii.gz").write_bytes(b"no image")
    with pytest.raises(DamagedInputError):
        quiet(tree, tmp_path / "out")
    assert state(tmp_path / "out") == before


def test_skip_damaged(tree, tmp_path):
    (tree / "img0002.nii.gz").write_bytes(b"no image")
    said = []
    summary = prepare("sabs", tree, tmp_path / "out", num_workers=1, skip_damaged=True, say=said.append)
    assert summary.prepared == ["sabs_0001", "sabs_0003"]
    assert sum(line.startswith("fault: ") and "img0002.nii.gz" in line for line in said) == 1


@pytest.mark.parametrize("content", ["dataset.json", "notes.txt"])
def test_foreign_output_is_refused(tree, tmp_path, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / content).write_text('{"training": []}')
    with pytest.raises(InputError, match="was not made by preparing sabs"):
        quiet(tree, tmp_path / "out")


def test_output_of_another_challenge_is_refused(tree, tmp_path):
    quiet(tree, tmp_path / "out")
    with pytest.raises(InputError, match="was not made by preparing chaos"):
        prepare("chaos", tree, tmp_path / "out")


def test_bad_arguments(tree, tmp_path):
    with pytest.raises(InputError, match="unknown challenge 'kits'; known: chaos, sabs, mscmr, visceral, folder"):
        prepare("kits", tree, tmp_path / "out")
    with pytest.raises(InputError, match="no such folder"):
        quiet(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="lies inside of the input"):
        quiet(tree, tree / "out")
