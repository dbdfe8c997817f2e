"""Training that can be stopped at any instant: checkpoints, what they belong to, and going on from them."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint

from ..calling import calling_parser
from ..errors import InputError, in_server, one_line
from ..files.checkpoints import plain_network, read_checkpoint
from ..files.writing import whole_file, write_json, write_state
from ..speed.layout import follow_weights
from ..speed.ranks import is_first
from .identity import differences, scans_of, settings_of
from .interrupts import Interrupts
from .random_state import RandomState

logger = logging.getLogger(__name__)

FINAL, PREVIOUS = "model.pt", "model_previous.pt"
_PATTERN, _RECORD = "checkpoint_iteration=*.pt", "training.json"
_KINDS = ("fused", "foreach", "capturable")


class TrainingState:
    """Save everything that a training depends on, and continue from it bit for bit.

    While it runs, a training has its folder to itself. The two newest ``checkpoint_iteration=*.pt`` are kept, so that
    one can be damaged; ``training.json`` says which training the folder holds. On Ctrl-C and SIGTERM the step is
    finished, and a checkpoint written.

    Args:
        save_dir: folder of checkpoints and weights.
        objects: what to save beside the trainer: network, optimiser, scheduler, episode loader, ...
        save_interval: iterations between checkpoints.
        resume: continue from the newest checkpoint of this training.
        restart: begin anew although the folder holds an unfinished training.
        data: training set, whose ``data`` are the scans that the training belongs to.
    """

    def __init__(
        self,
        save_dir: str,
        objects: dict[str, Any],
        save_interval: int,
        resume: bool = False,
        restart: bool = False,
        data: Any = None,
    ) -> None:
        self.save_dir = Path(save_dir)
        self.objects = objects
        self.save_interval = save_interval
        self.resume = resume
        self.restart = restart
        self.data = data
        parser = calling_parser()
        self._config: dict[str, Any] = {} if parser is None else dict(parser.get())
        self._random = RandomState()
        self._identity: dict[str, Any] = {}
        self._loaded: tuple[Path, dict[str, Any]] | None = None
        self._kept: list[Path] = []
        self._stale: list[Path] = []
        self._interrupts = Interrupts(save=lambda: None)

    def attach(self, engine: Engine) -> None:
        """Make a trainer's ``run`` safe, and save while it lasts.

        Its ``run`` then raises ``InputError``: another training is running in the folder, there is nothing to resume
        from, what there is belongs to another training, or an unfinished one would be lost.
        """
        engine.run = self._safe(engine, engine.run)  # type: ignore[method-assign]
        engine.add_event_handler(Events.STARTED, self._load)
        engine.add_event_handler(Events.EPOCH_STARTED, self._random.release)
        engine.add_event_handler(Events.GET_BATCH_STARTED, self._step_begins)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step_ends)

    def _safe(self, engine: Engine, run: Callable[..., Any]) -> Callable[..., Any]:
        def safe_run(*args: Any, **kwargs: Any) -> Any:
            first = is_first()
            with _alone_in(self.save_dir) if first else nullcontext():
                self._begin(kwargs.get("max_epochs", engine.state.max_epochs))
                with Interrupts(save=lambda: self._save(engine)) as self._interrupts:
                    state = run(*args, **kwargs)
                    self._interrupts.act()
                if first and self._interrupts.pending is None:
                    self._record(finished=True)
            return state

        return safe_run

    def _begin(self, max_epochs: int | None) -> None:
        scans = {} if self.data is None else scans_of(self.data.data)
        self._identity = {"settings": settings_of(self._config, max_epochs), "scans": scans}
        if self.resume:
            self._loaded = self._newest(max_epochs)
        elif is_first():
            self._start_clean()
        if is_first():
            self._record(finished=False)

    def _start_clean(self) -> None:
        self._stale = checkpoints_in(self.save_dir)
        model = self.save_dir / FINAL
        if self._stale and not self.restart and not in_server() and not _is_finished(self.save_dir):
            raise InputError(
                f"{self.save_dir} holds an unfinished training ({self._stale[-1].name}): resume continues it "
                "(--resume), restart begins anew (--restart), another ckpt_dir keeps both"
            )
        if model.is_file():
            previous = self.save_dir / PREVIOUS
            with whole_file(previous) as draft:
                shutil.copyfile(model, draft)
            logger.info(f"{model} of the training before is kept as {previous.name}")

    def _load(self, engine: Engine) -> None:
        if self._loaded is None:
            return
        (path, content), self._loaded = self._loaded, None
        max_epochs, targets = engine.state.max_epochs, self._targets(engine)
        try:
            Checkpoint.load_objects(targets, {name: content[name] for name in targets})
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(f"{path} does not fit this training ({one_line(error)}); begin anew") from error
        engine.state.max_epochs = max_epochs
        self._keep_kind_of_update()
        logger.info(f"training goes on from {path}")

    def _newest(self, max_epochs: int | None) -> tuple[Path, dict[str, Any]]:
        """Read the newest checkpoint of this training, and note which files are of it."""
        check_resumable(self.save_dir)
        found: tuple[Path, dict[str, Any]] | None = None
        others: list[str] = []
        self._kept, self._stale = [], []
        for path in reversed(checkpoints_in(self.save_dir)):
            try:
                content = read_checkpoint(path)
            except InputError as error:
                logger.warning(f"{error}; an older checkpoint is tried")
                self._stale.append(path)
                continue
            told = content.get("training") if isinstance(content, dict) else None
            differing = ["its settings are not in it"] if told is None else differences(self._identity, told)
            if differing:
                others.append(f"{path} is of another training: {'; '.join(differing[:5])}")
            else:
                found = found or (path, content)
                self._kept.insert(0, path)
        if found is not None:
            done = found[1]["trainer"]["iteration"] // found[1]["trainer"]["epoch_length"]
            if max_epochs is not None and done > max_epochs:
                raise InputError(f"{found[0]} stands at epoch {done}, max_epochs is {max_epochs}: set it higher")
            return found
        if others:
            raise InputError(f"{others[0]}; use its settings, or another ckpt_dir, or begin anew without resume")
        raise InputError(f"{self.save_dir}: no {_PATTERN} to resume from; all are damaged: begin anew with --restart")

    def _keep_kind_of_update(self) -> None:
        """Undo that a checkpoint brings how its run computed, not just what: fused or not, and in which order."""
        for optimizer in self.objects.values():
            if isinstance(optimizer, torch.optim.Optimizer):
                for group in optimizer.param_groups:
                    group.update({name: optimizer.defaults[name] for name in _KINDS if name in optimizer.defaults})
                    group["lr"] = float(group["lr"])
                follow_weights(optimizer)

    def _step_begins(self) -> None:
        self._interrupts.busy = True

    def _step_ends(self, engine: Engine) -> None:
        iteration, length = engine.state.iteration, engine.state.epoch_length
        if length and iteration % length == 0:
            self._random.hold()  # validation draws too, and is not repeated after a resume
        if self._interrupts.pending is not None:
            self._save(engine)
            engine.terminate(skip_completed=True)
        elif iteration % self.save_interval == 0:
            self._save(engine)
        self._interrupts.busy = False
        if self._interrupts.pending is not None and not engine.should_terminate:  # it came while saving
            self._save(engine)
            engine.terminate(skip_completed=True)

    def _save(self, engine: Engine) -> None:
        path = self.save_dir / _PATTERN.replace("*", str(engine.state.iteration))
        if not is_first() or engine.state.iteration == 0 or path in self._kept:
            return
        content = {name: plain_network(part).state_dict() for name, part in self._targets(engine).items()}
        write_state(path, {**content, "training": self._identity})
        self._kept.append(path)
        for old in [*self._stale, *self._kept[:-2]]:
            if old not in self._kept[-2:]:
                old.unlink(missing_ok=True)
        self._stale, self._kept = [], self._kept[-2:]

    def _targets(self, engine: Engine) -> dict[str, Any]:
        return {**self.objects, "trainer": engine, "random": self._random}

    def _record(self, finished: bool) -> None:
        write_json(self.save_dir / _RECORD, {"finished": finished, **self._identity})


def make_folder(folder: Path, setting: str) -> None:
    """Make a folder where it is missing; ``setting`` names it in the message.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{setting}: no folder {folder} can be made ({error.strerror}); choose another") from error


def check_resumable(folder: Path) -> None:
    """Refuse to resume in a folder without checkpoints; needs no data.

    Raises:
        InputError: there is none.
    """
    if not checkpoints_in(folder):
        raise InputError(f"{folder}: no {_PATTERN} to resume from; drop --resume or check ckpt_dir")


def checkpoints_in(folder: Path) -> list[Path]:
    """List the checkpoints of a folder, the newest last."""
    return sorted(folder.glob(_PATTERN), key=lambda path: int("0" + "".join(re.findall(r"=(\d+)\.pt$", path.name))))


def _is_finished(folder: Path) -> bool:
    """Tell whether the training that a folder holds came to its end."""
    try:
        return bool(json.loads((folder / _RECORD).read_text())["finished"])
    except (OSError, ValueError, KeyError, TypeError):  # written before there was such a record, or damaged
        return (folder / FINAL).is_file()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder's lock, which the death of this process releases."""
    make_folder(folder, "ckpt_dir")
    with (folder / ".training.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InputError(
                f"{folder}: a training is running here (process {lock.read().strip() or 'unknown'}); wait for its end, "
                "or use another ckpt_dir"
            ) from None
        except OSError as error:
            logger.warning(f"{folder}: no locks on this disk ({error}); start one training here at a time")
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
