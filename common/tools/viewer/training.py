"""``fewshot train`` beside the window: on open scans, with its curve; its model is then the chosen one."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from qtpy.QtCore import QCoreApplication, QObject, QProcess, QTimer, Signal

from ...configuration.workflow import label_free_overlays
from ...errors import InputError
from ...files.writing import write_json
from ...handlers.resuming import FINAL
from ...results.curves import LossCurve
from ..cli.training import machine_overlays

_LOOK = 3000  # milliseconds between two looks at the curve
_SAVE = 60_000  # milliseconds that a training may take to save its state when the window is closed


class Training(QObject):
    """A training without labels in a process of its own.

    Args:
        bundle: folder.
        scans: files and folders of series to train on.
        folder: in which the run folder is made.
        settings: further options of ``fewshot train``.

    Attributes:
        run: the run folder.
        again: command that goes on with it.
        stopped: whether a person has ended it.
        said: a line that the training prints.
        learned: iterations and losses so far.
        ended: path of the model, empty where the training has failed or was ended.

    Raises:
        InputError: no scan.
    """

    said = Signal(str)
    learned = Signal(object, object)
    ended = Signal(str)

    def __init__(self, bundle: Path, scans: Sequence[Path], folder: Path, settings: Sequence[str] = ()) -> None:
        super().__init__()
        if not scans:
            raise InputError("no scan to train on: open some with Open scans")
        self.run = folder.absolute() / f"{bundle.name}-{datetime.now():%Y%m%d-%H%M%S}"
        data = self.run.with_name(f"{self.run.name}-scans")
        data.mkdir(parents=True)
        listed = [{"image": str(path.absolute())} for path in scans]
        write_json(data / "dataset.json", {"labels": {"background": 0}, "training": listed})
        overlays = [*label_free_overlays(bundle), *machine_overlays(None, bundle)]
        command = ["train", "--bundle", str(bundle), "--data", str(data), "--allow-outside"]
        command += ["--output-dir", str(self.run), "--fold", "none"]
        command += [*(["--config", ",".join(overlays)] if overlays else []), *settings]
        self.again = shlex.join(["fewshot", *command, "--resume"])
        self.stopped = False
        self._curve = LossCurve(self.run / "curves")
        self._process = QProcess(self)
        self._process.setProcessChannelMode(QProcess.ProcessChannelMode.MergedChannels)
        self._process.setWorkingDirectory(str(Path(__file__).parents[3]))
        self._process.readyRead.connect(self._read)
        self._process.finished.connect(self._end)
        self._process.setProgram(sys.executable)
        self._process.setArguments(["-m", "common.tools.cli", *command])
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Begin."""
        self._process.start()
        self._timer.start(_LOOK)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.leave)

    def stop(self) -> None:
        """Ask the training to end; it saves its state first, and ``again`` goes on."""
        self.stopped = True
        self._process.terminate()

    def leave(self) -> None:
        """Stop, and wait until the state is saved: Qt kills what runs when the window's program ends."""
        if self._process.state() != QProcess.ProcessState.NotRunning:
            self.stop()
            self._process.waitForFinished(_SAVE)

    def _read(self) -> None:
        for line in bytes(self._process.readAll().data()).decode(errors="replace").splitlines():
            if line.strip():
                self.said.emit(line.strip())

    def _look(self) -> None:
        steps, losses = self._curve.read()
        if steps:
            self.learned.emit(steps, losses)

    def _end(self) -> None:
        self._timer.stop()
        self._read()
        self._look()
        model = self.run / FINAL
        self.ended.emit(str(model) if self._process.exitCode() == 0 and model.is_file() else "")
