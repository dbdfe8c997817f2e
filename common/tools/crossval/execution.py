"""Cross-validation: each run is trained and evaluated by the bundle's own configurations and kept as one file.

A run is two commands of MONAI's bundle runner. Whatever ends the driver loses nothing: finished runs have their files,
and an unfinished one continues from its last checkpoint. A result belongs to its scans, configuration and code; what
was made from others is refused by name.
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ... import __version__
from ...configuration.workflow import config_file, merged_config
from ...errors import InputError, one_line
from ...files.checkpoints import read_checkpoint, read_weights
from ...files.hashing import hash_files
from ...files.literals import literal
from ...files.writing import write_json
from ...handlers.resuming import FINAL, checkpoints_in
from ...results.curves import LossCurve
from ...stopping import run_process
from .provenance import KINDS, differing, provenance
from .runs import CHALLENGES, STATISTICS_FILE, Experiment, Run, needs_statistics, run_settings

logger = logging.getLogger(__name__)

_UNTRAINED: dict[str, Any] = {"iteration": [], "loss": [], "threshold": None}
_PACKAGES = ("torch", "monai", "numpy", "scipy", "scikit-image", "numba", "pytorch-ignite")


def execute(experiment: Experiment, run: Run) -> Path:
    """Train and evaluate one run and return its result file; at once where the file is there.

    Raises:
        InputError: training or evaluation failed; names the log. Or what is there was made from something else.
    """
    result = experiment.output / f"{run.name}.json"
    work = experiment.output / "work" / run.name
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        # Children inherit the lock: who restarts a killed driver waits for a training that outlived it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        made_from = provenance(experiment, run)
        if result.is_file():
            _check_same(result, experiment, run, made_from)
            return result
        _check_same(work / "run.json", experiment, run, made_from)
        if needs_statistics(experiment, run) and _read_note(work / STATISTICS_FILE) is None:
            _measure_intensities(experiment, run, work)
        settings = run_settings(experiment, run, work)
        trained = work / "trained.json"
        if run.untrained:
            write_json(trained, {"train_seconds": 0.0, "resumed": False})
        elif _read_note(trained) is None or not _is_readable(work / "models" / FINAL):
            resume = any(_is_readable(path) for path in checkpoints_in(work / "models"))
            beginning = {**_of_training(experiment, run, settings), "resume": resume, "restart": not resume}
            seconds = _call(experiment, run, "train", beginning, lock=(lock.fileno(),))
            write_json(trained, {"train_seconds": seconds, "resumed": resume})
        scored = {**settings, "protocols": experiment.protocols}
        seconds = _call(experiment, run, "evaluate", scored, overlays=["evaluate"], lock=(lock.fileno(),))
        manifest = {
            "versions": {name: version(name) for name in _PACKAGES} | {"fewshot-bundles": __version__},
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "processes": experiment.processes,
            **made_from,
            **json.loads(trained.read_text()),
            "evaluate_seconds": seconds,
            **{key: settings[key] for key in ("intensity_mean", "intensity_std") if key in settings},
        }
        cases = json.loads((work / "eval" / "cases.json").read_text())
        learned = _UNTRAINED if run.untrained else _training(work)
        write_json(result, {"run": asdict(run), "cases": cases, "manifest": manifest, "training": learned})
    return result


def evaluate_run(experiment: Experiment, run: Run, overlay: str, file: str) -> Path:
    """Evaluate a trained run with an overlay on evaluate.yaml; at once where that has been done from the same.

    Args:
        experiment: folders.
        run: has been trained.
        overlay: name of the configuration.
        file: that it writes into its output folder; its path is returned.

    Raises:
        InputError: the evaluation failed; names the log. Or the run was made on other scans.
    """
    work = experiment.output / "work" / run.name
    path, note = work / overlay / file, work / overlay / "made_from.json"
    made_from = {**provenance(experiment, run), "weights_sha256": hash_files(work / "models" / FINAL).hex()}
    result = (_read_note(experiment.output / f"{run.name}.json") or {}).get("manifest", {})
    if result.get("data_sha256", made_from["data_sha256"]) != made_from["data_sha256"]:
        raise InputError(
            f"{run.name} was trained and evaluated on other scans than those in {experiment.data}: give its own"
        )
    if not path.is_file() or _read_note(note) != made_from:
        settings = {**run_settings(experiment, run, work), "output_dir": literal(path.parent)}
        _call(experiment, run, overlay, settings, overlays=["evaluate", overlay])
        write_json(note, made_from)
    return path


def _measure_intensities(experiment: Experiment, run: Run, work: Path) -> None:
    """Write mean and deviation of the run's training scans, as ``fewshot statistics`` prints them."""
    overrides = _of_training(experiment, run, run.overrides)
    options = {"fold": run.fold, "challenge": CHALLENGES.get(run.dataset), **overrides}
    command = [sys.executable, "-m", "common.tools.cli", "statistics", "--bundle", str(experiment.bundle)]
    command += [f"--dataset-dir={experiment.data}", "--config", ",".join(run.configs[1:])]
    command += [part for key, value in options.items() for part in ("--override", f"{key}={json.dumps(value)}")]
    answer = run_process(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = dict(re.findall(r"^(intensity_\w+): (\S+)$", answer.stdout, flags=re.MULTILINE))
    if answer.returncode != 0 or len(lines) != 2:
        last = (answer.stdout.strip().splitlines() or ["no output"])[-1]
        raise InputError(f"{run.name}: fewshot statistics ended with status {answer.returncode}: {last[:300]}")
    write_json(work / STATISTICS_FILE, {name: float(value) for name, value in lines.items()})


def _check_same(path: Path, experiment: Experiment, run: Run, made_from: dict[str, str]) -> None:
    """Refuse to go on from what was made from something else; note what a run is made from where nothing is there.

    Raises:
        InputError: the file is damaged, tells of another run, scans, configuration or code, or lacks a protocol.
    """
    if not path.is_file():
        write_json(path, {"run": asdict(run), "manifest": made_from})
        return
    content = _read_note(path) or {}
    if not isinstance(content.get("run"), dict) or not isinstance(content.get("manifest"), dict):
        raise InputError(f"{path} is damaged: delete it to have this run made again")
    wanted = json.loads(json.dumps(asdict(run)))
    if changed := differing({**content["manifest"], **content["run"]}, {**made_from, **wanted}, [*wanted, *KINDS]):
        raise InputError(
            f"{path} was made from other {changed} than there is now: "
            f"delete it{'' if 'cases' in content else f' and {path.parent}'}, or use another --output"
        )
    lacking = set(experiment.protocols) - {row["protocol"] for row in content.get("cases", [])}
    if "cases" in content and lacking:
        raise InputError(f"{path} lacks protocol {', '.join(sorted(lacking))}: delete it to evaluate the run again")


def _of_training(experiment: Experiment, run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out the settings that the evaluation alone has."""
    scoring = set(merged_config(experiment.bundle, ["evaluate"])) - set(merged_config(experiment.bundle, run.configs))
    return {name: value for name, value in settings.items() if name.split("#")[0] not in scoring}


def _read_note(path: Path) -> dict[str, Any] | None:
    """Read a JSON file of ours; None where there is none, and a line where it is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:  # JSON, the text itself, or no mapping
        logger.warning(f"{path} is damaged ({one_line(error)})")
        return None


def _is_readable(path: Path) -> bool:
    """Tell whether a checkpoint is whole, with a line where it is damaged."""
    try:
        read_checkpoint(path)
    except InputError as error:
        logger.warning(one_line(error))
    except FileNotFoundError:
        pass
    else:
        return True
    return False


def _call(
    experiment: Experiment,
    run: Run,
    step: str,
    settings: dict[str, Any],
    overlays: Sequence[str] = (),
    lock: tuple[int, ...] = (),
) -> float:
    """Run MONAI's bundle runner in a process of its own and return the seconds that it took."""
    names = [*run.configs, *overlays]
    launch = ["-m", "monai.bundle"]
    if step == "train" and experiment.processes > 1:
        names.append("multi_gpu_train")
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={experiment.processes}", *launch]
    files = str([str(config_file(experiment.bundle, name)) for name in names])
    options = [
        part for key, value in settings.items() for part in (f"--{key}", "$None" if value is None else str(value))
    ]
    log = experiment.output / "work" / run.name / f"{step}.log"
    start = time.monotonic()
    with log.open("a") as stream:
        command = [sys.executable, *launch, "run", "--config_file", files, *options]
        status = run_process(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, pass_fds=lock
        ).returncode
    if status != 0:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        raise InputError(f"{run.name}: {step} ended with status {status}: {lines[-1][:300]}; see {log}")
    return round(time.monotonic() - start, 1)


def _training(work: Path, points: int = 200) -> dict[str, Any]:
    """Read the loss from TensorBoard's files, thinned, and the learned threshold where the network has one."""
    steps, losses = LossCurve(work / "eval", points).read()
    threshold = read_weights(work / "models" / FINAL).get("threshold")
    return {"iteration": steps, "loss": losses, "threshold": None if threshold is None else round(float(threshold), 5)}
