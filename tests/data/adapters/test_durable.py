"""Whatever ends prepare, at any instant: a reader finds the old dataset or the new one, and the next run makes it."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from common.data import load_datalist
from common.errors import InputError
from common.tools.challenges import prepare
from common.tools.cli import app
from tests.durability import count_moments, finish, kill_at_moment, kill_when, kills_at_random


def scan(folder: Path, name: str, seed: int, shape=(12, 10, 4)) -> None:
    """A scan that does not compress, and its label map."""
    values = np.random.default_rng(seed).integers(0, 2**15, shape, dtype=np.int16)
    for part, array in (("imagesTr", values), ("labelsTr", (values % 3).astype(np.uint8))):
        (folder / part).mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.diag([2.0, 2, 5, 1])), folder / part / f"{name}.nii.gz")


def run(raw: Path, output: Path) -> None:
    prepare("folder", raw, output, num_workers=1, say=lambda line: None)


def reads(output: Path) -> dict[str, str] | None:
    """What a reader gets: content by subject and kind; None where there is no dataset yet."""
    if not output.exists():
        return None
    items = load_datalist(output, require_labels=True)
    return {
        f"{item['subject']} {key}": hashlib.sha256(Path(item[key]).read_bytes()).hexdigest()
        for item in items
        for key in ("image", "label")
    }


class Case:
    """An input, an output that was prepared from an earlier state of it or not, and what a run makes of it."""

    def __init__(self, folder: Path, again: bool) -> None:
        self.raw, self.output, self.older = folder / "raw", folder / "work" / "out", folder / "older"
        self.output.parent.mkdir(parents=True)
        for number in (1, 2):
            scan(self.raw, f"s{number}", number)
        if again:
            assert finish(partial(run, self.raw, self.older)) == 0
            (self.older / "notes.txt").write_text("mine")
            scan(self.raw, "s1", 11)
            scan(self.raw, "s3", 3)
        assert finish(partial(run, self.raw, folder / "newer")) == 0
        self.old, self.new = reads(self.older), reads(folder / "newer")
        assert self.new is not None and self.old != self.new

    def reset(self) -> None:
        shutil.rmtree(self.output.parent)
        self.output.parent.mkdir()
        if self.older.exists():
            shutil.copytree(self.older, self.output)

    def command(self) -> None:
        run(self.raw, self.output)

    def check(self) -> str:
        """After a kill: old or new, and the next run is not disturbed by what lies there."""
        found = reads(self.output)
        assert found in (self.old, self.new)
        self.command()
        assert reads(self.output) == self.new
        assert [path.name for path in self.output.parent.iterdir()] == ["out"]
        assert not list(self.output.rglob(".*"))
        if self.older.exists():
            assert (self.output / "notes.txt").read_text() == "mine"
        return "old" if found == self.old else "new"


@pytest.fixture(params=[False, True], ids=["fresh", "again"])
def case(request, tmp_path) -> Case:
    return Case(tmp_path, request.param)


@pytest.mark.slow
def test_killed_at_every_change(case):
    case.reset()
    moments = count_moments(case.command, case.output.parent)
    assert moments >= 20
    outcomes = []
    for moment in range(moments + 1):
        case.reset()
        assert kill_at_moment(case.command, moment, case.output.parent) == (moment < moments)
        outcomes.append(case.check())
    first_new = outcomes.index("new")
    assert outcomes == ["old"] * first_new + ["new"] * (len(outcomes) - first_new) and first_new > 10


@pytest.mark.slow
def test_killed_at_random(case):
    case.reset()
    for number in kills_at_random(case.command):
        if number:  # before it the command was run to its end
            case.check()
        case.reset()


@pytest.mark.slow
@pytest.mark.parametrize("pattern", ["*.partial.s2.nii.gz", "s1.json", "*.partial.out"])
def test_killed_while_files_appear(case, pattern):
    for number in range(4):
        case.reset()
        kill_when(case.command, case.output.parent, pattern, delay=0.001 * number)
        case.check()


def killed_before_the_exchange(command):
    def dying():
        pytest.MonkeyPatch().setattr(
            "common.files.writing.put_in_place", lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        )
        command()

    assert finish(dying) == -signal.SIGKILL


def test_killed_twice_and_work_is_kept(case, monkeypatch):
    """Scans that were finished before a kill are not made again."""
    case.reset()
    killed_before_the_exchange(case.command)
    killed_before_the_exchange(case.command)
    monkeypatch.setattr("common.tools.challenges.jobs.write_scan", None)
    case.check()


def test_two_at_once_are_refused(case):
    case.reset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.tools.challenges.preparation.run_jobs", lambda *_: case.command())
        with pytest.raises(InputError, match=r"out: another process is preparing it"):
            case.command()
    case.check()


def test_full_disk_is_one_line_and_changes_nothing(tmp_path, small_disk):
    disk, raw = small_disk("1m"), tmp_path / "raw"
    scan(raw, "s1", 1)
    run(raw, disk / "out")
    before = reads(disk / "out")
    scan(raw, "s2", 2, (100, 100, 80))
    arguments = ["prepare", "folder", "--input", str(raw), "--num-workers", "1", "--output"]
    for output in (disk / "out", disk / "fresh"):
        result = CliRunner().invoke(app, [*arguments, str(output)])
        message = str(result.exception)
        assert result.exit_code == 1 and message.startswith("error: ") and "\n" not in message
        assert "no space left" in message
        del result
        gc.collect()  # frames of its traceback hold the deleted file open
    assert reads(disk / "out") == before and not (disk / "fresh").exists()
    assert not list(disk.rglob("*partial*"))
    scan(raw, "s2", 2)
    run(raw, disk / "out")
    assert set(reads(disk / "out")) == {f"s{number} {key}" for number in (1, 2) for key in ("image", "label")}


@pytest.mark.parametrize("kilobytes", [40, 60, 100, 140])
def test_disk_that_fills_up_at_any_point(tmp_path, small_disk, kilobytes):
    """Little is left: the scans may fit and the new folder not, or its description."""
    disk, raw = small_disk("200k"), tmp_path / "raw"
    scan(raw, "s1", 1)
    run(raw, disk / "out")
    before = reads(disk / "out")
    (disk / "ballast").write_bytes(b"0" * 1000 * kilobytes)
    scan(raw, "s2", 2, (30, 30, 20))
    try:
        run(raw, disk / "out")
    except OSError as error:
        assert "no space left" in str(error) and "\n" not in str(error)
        assert reads(disk / "out") == before
        (disk / "ballast").unlink()
        run(raw, disk / "out")
    assert len(reads(disk / "out")) == 4


@pytest.mark.parametrize("case", [True], indirect=True)
def test_an_output_put_aside_by_a_killed_run_comes_back(case):
    """As where a disk cannot exchange names."""
    case.reset()
    case.output.rename(case.output.with_name(".out.replaced"))
    case.command()
    case.check()


def test_leftovers_of_all_kinds_do_not_block(case):
    """Also damage that no kill of ours leaves: records and scans that something else cut short."""
    case.reset()
    killed_before_the_exchange(case.command)
    staging = case.output.parent / ".out-preparing"
    (record, *_), (image, *_) = sorted(staging.glob("*.json")), sorted(staging.glob("imagesTr/*"))
    record.write_text(record.read_text()[:-20])
    image.write_bytes(image.read_bytes()[:-20])
    (staging / "imagesTr" / ".ab12.partial.s1.nii.gz").write_bytes(b"half")
    (staging / "s7.json").write_text("[]")
    case.check()


@pytest.mark.slow
def test_workers_end_with_a_killed_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(40):
        scan(tmp_path / "raw", f"s{number}", number, (60, 60, 40))

    def command() -> None:
        prepare("folder", tmp_path / "raw", tmp_path / "out", num_workers=2, say=lambda line: None)

    assert kill_when(command, tmp_path, "s0.json")
    deadline = time.monotonic() + 20
    while (left := processes_in(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left and not (tmp_path / "out").exists()


def processes_in(folder: Path) -> list[str]:
    """Other processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if process.name != str(os.getpid()) and os.readlink(process / "cwd") == str(folder):
                found.append(process.name)
    return found
