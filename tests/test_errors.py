"""One line and a status for everything that goes wrong; signals end what they should, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.errors import DEBUG, InputError, guard
from common.speed.background import in_background
from common.speed.workers import in_workers
from common.stopping import Terminated, end_processes, run_process, stoppable
from common.tools import cli
from tests.e2e.tiny import SMALL_TRAINING

ROOT = Path(__file__).parents[1] / "bundles"


def ended(step, *arguments):
    with pytest.raises(SystemExit) as stop:
        guard(step, *arguments)
    return stop.value.code


def wrong(error, cause=None):
    def step():
        raise error from cause

    return step


def test_a_persons_mistake_is_one_line():
    assert ended(wrong(InputError("a.nii:\n  not\tgood"))) == "error: a.nii: not good"
    assert ended(wrong(RuntimeError("wrapped"), InputError("a.nii: bad"))) == "error: a.nii: bad"
    assert ended(wrong(PermissionError(13, "Permission denied", "a.nii"))).startswith("error: ")
    assert "out of memory" in ended(wrong(MemoryError("8 GB")))


def test_a_bug_of_ours_is_one_line_that_says_how_to_see_more(capsys):
    line = ended(wrong(RuntimeError("wrapped"), KeyError("x")))
    assert line.startswith("internal error: KeyError: 'x'; ") and "--debug" in line and DEBUG in line
    assert "Traceback" not in capsys.readouterr().err


def test_debug_shows_the_traceback(monkeypatch, capsys):
    monkeypatch.setenv(DEBUG, "1")
    assert ended(wrong(InputError("bad"))) == "error: bad"
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--debug", "table"], ["table", "--debug"]])
def test_fewshot_takes_debug_before_and_after_the_verb(arguments, monkeypatch, tmp_path):
    monkeypatch.setenv(DEBUG, "0")
    result = CliRunner().invoke(cli.app, [*arguments, str(tmp_path / "nowhere")])
    assert "Traceback" in result.output and "no folder" in str(result.exception.code)
    monkeypatch.setenv(DEBUG, "0")
    assert "Traceback" not in CliRunner().invoke(cli.app, ["table", str(tmp_path / "nowhere")]).output


# ------------------------------------------------------------------------------------------------------------- signals


@pytest.fixture(autouse=True)
def no_request_before(monkeypatch):
    monkeypatch.setattr("common.stopping._last_request", -1e9)


@pytest.mark.parametrize(
    ("number", "status", "name"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_signal_ends_a_step_with_one_line(number, status, name, capsys):
    def step():
        os.kill(os.getpid(), number)
        time.sleep(5)

    before = signal.getsignal(number)
    assert ended(step) == status
    assert capsys.readouterr().err == f"stopped by {name}\n"
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_nobody_waits_for_the_background_and_a_second_signal_is_no_traceback(number, status, tmp_path):
    code = (
        "import signal, sys, time; from common.speed.background import in_background; from common.errors import guard\n"
        "def work():\n"
        "    futures = [in_background(time.sleep, 30) for _ in range(2)]; print('ready', flush=True); time.sleep(30)\n"
        "guard(work)"
    )
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT.parent}
    with subprocess.Popen([sys.executable, "-c", code], **options) as program:
        assert program.stdout.readline() == "ready\n"
        start = time.monotonic()
        program.send_signal(number)
        program.send_signal(number)
        _, errors = program.communicate(timeout=25)
    name = {130: "Ctrl-C", 143: "SIGTERM"}[status]
    assert (program.returncode, errors) == (status, f"stopped by {name}\n") and time.monotonic() - start < 20


def test_a_stop_with_an_idle_background_leaves_it_usable():
    assert in_background(len, "ab").result() == 2
    assert ended(lambda: os.kill(os.getpid(), signal.SIGINT)) == 130
    assert in_background(len, "abc").result() == 3


def test_the_hint_to_train_is_for_weights_only():
    assert ended(lambda: open("/nowhere/a.nii")) == "error: no file /nowhere/a.nii; check the path"  # noqa: SIM115
    assert "train first" in ended(lambda: open("/nowhere/model.pt"))  # noqa: SIM115


def test_a_second_signal_does_not_cut_the_saving_short():
    saved = []
    with pytest.raises(Terminated), stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            saved.append(True)
    assert saved


def test_an_ignored_signal_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert guard(lambda: os.kill(os.getpid(), signal.SIGTERM)) is None
    finally:
        signal.signal(signal.SIGTERM, before)


def test_child_programs_end_with_us():
    with pytest.raises(Terminated), stoppable():
        signal.setitimer(signal.ITIMER_REAL, 0)
        code = f"import os, signal, time; os.kill({os.getpid()}, signal.SIGTERM); time.sleep(60)"
        start = time.monotonic()
        run_process([sys.executable, "-c", code])
    assert time.monotonic() - start < 30
    end_processes()


def _nothing() -> None:
    pass


def _sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_workers_end_when_nobody_waits():
    start = time.monotonic()
    results = in_workers(_sleep, [(0.0,), (60.0,), (60.0,)], 2, _nothing)
    assert next(results) == 0.0
    results.close()
    assert time.monotonic() - start < 30


# ----------------------------------------------------------------------------------------------------- real processes


class Program:
    """A real process whose descendants can be counted, by a mark in their environment."""

    def __init__(self, arguments, cwd):
        self.mark = f"MARK={uuid.uuid4()}"
        self.log = cwd / "log"
        paths = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": paths, "MARK": self.mark.split("=")[1]}
        with self.log.open("w") as stream:
            command = [sys.executable, "-W", "ignore", *map(str, arguments)]
            self.process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=stream, stderr=stream)

    def family(self):
        """Command lines of all living processes of this program."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # ended meanwhile
                continue
        return found

    def stop(self, when, number):
        """Send a signal once a condition holds; return the status and the last line."""
        deadline = time.monotonic() + 240
        while not when(self):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()[-2000:]
            time.sleep(0.05)
        self.process.send_signal(number)
        status = self.process.wait(120)
        time.sleep(0.5)
        text = self.log.read_text()
        assert "Traceback" not in text, text[-3000:]
        return status, text.strip().splitlines()[-1]


@pytest.fixture
def training(dataset, tmp_path, options):
    settings = {**SMALL_TRAINING["adnet"], "max_epochs": 500, "episodes_per_epoch": 10, "num_workers": 2}
    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    return ["--config_file", ROOT / "adnet/configs/train.yaml", *options(**settings, **places, dataset_dir=dataset)]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_training_stops_with_its_state_and_goes_on(number, status, training, tmp_path):
    running = Program(["-m", "monai.bundle", "run", *training], tmp_path)
    epoch = "Epoch[2]"
    assert running.stop(lambda program: epoch in program.log.read_text(), number)[0] == status
    assert "stopped by" in running.log.read_text() and running.family() == []
    states = sorted((tmp_path / "ckpt_dir").glob("checkpoint*"))
    assert states and not list(tmp_path.rglob("*.partial*"))
    again = Program(["-m", "monai.bundle", "run", *training, "--resume", "True", "--max_epochs", "3"], tmp_path)
    assert again.process.wait(240) == 0, again.log.read_text()[-2000:]
    assert (tmp_path / "ckpt_dir/model.pt").is_file()


@pytest.mark.slow
def test_workers_of_the_preparation_end_with_the_training(training, tmp_path):
    running = Program(["-m", "monai.bundle", "run", *training], tmp_path)
    status, line = running.stop(lambda program: len(program.family()) >= 3, signal.SIGTERM)
    assert (status, line) == (143, "stopped by SIGTERM") and running.family() == []


@pytest.mark.slow
def test_trainings_of_a_cross_validation_end_with_it(dataset, tmp_path):
    settings = {**SMALL_TRAINING["adnet"], "max_epochs": 500, "episodes_per_epoch": 10}
    overrides = [part for name, value in settings.items() for part in ("--override", f"{name}={value}")]
    command = ["-m", "common.tools.cli", "crossval", "--bundle", ROOT / "adnet", "--dataset", "tiny", "--data", dataset]
    running = Program([*command, "--output", tmp_path / "out", *overrides], tmp_path)
    logs = "out/work/*/train.log"
    status, line = running.stop(
        lambda program: any("Epoch[2]" in path.read_text() for path in tmp_path.glob(logs)), signal.SIGTERM
    )
    assert (status, line) == (143, "stopped by SIGTERM") and running.family() == []
    (log,) = tmp_path.glob(logs)
    assert "stopped by SIGTERM" in log.read_text() and list(log.parent.glob("models/checkpoint*"))
