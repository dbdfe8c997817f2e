"""Cross-validation: a list of runs, each trained and evaluated by the bundle's own configurations and kept as one file.

A run is two commands of MONAI's bundle runner. Whatever ends the driver loses nothing: finished runs have their files,
and an unfinished one continues from its last checkpoint.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..data import SETTING_2_GROUPS, excluded_labels, hash_files, label_names, load_datalist
from ..errors import InputError
from ..files import whole_file

# Published folds by dataset; others are cut into five.
CHALLENGES = {"chaos_t2": "chaos", "sabs": "sabs", "mscmr": "mscmr"}
_PACKAGES = ("torch", "monai", "numpy", "scipy", "scikit-image", "numba", "pytorch-ignite", "fewshot-bundles")


@dataclass(frozen=True)
class Run:
    """One training and its evaluation."""

    bundle: str
    variant: str
    dataset: str
    setting: int
    group: str | None
    fold: int
    repeat: int
    seed: int
    configs: list[str]
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its result file and of its folder."""
        parts = [self.bundle, self.variant, self.dataset, f"s{self.setting}", self.group]
        return "-".join([*(part for part in parts if part), f"f{self.fold}", f"r{self.repeat}"])


@dataclass(frozen=True)
class Study:
    """What all runs share: bundle folder, data, output folder, protocols and processes per training."""

    bundle: Path
    data: str
    output: Path
    protocols: list[str]
    processes: int = 1


def list_runs(
    bundle: Path,
    dataset: str,
    folds: Sequence[int] = range(5),
    repeats: int = 1,
    setting: int = 1,
    config: Sequence[str] = (),
    overrides: dict[str, Any] | None = None,
    seed: int = 2021,
) -> list[Run]:
    """List the runs of a cross-validation, repeat by repeat.

    Args:
        bundle: bundle folder.
        dataset: name; chaos_t2, sabs and mscmr have published folds.
        folds: numbers 0 to 4.
        repeats: trainings per fold, with seeds ``seed``, ``seed + 1``, ...
        setting: 1, or 2: one training per group of test organs, without the slices that show them.
        config: overlays of train.yaml.
        overrides: ids and values for training and evaluation.
        seed: of the first repeat.

    Raises:
        InputError: a fold, the setting or the number of repeats does not exist.
    """
    if setting not in (1, 2) or repeats < 1 or not folds or not set(folds) <= set(range(5)):
        raise InputError(f"folds are 0 to 4, settings 1 and 2, repeats from 1; got {list(folds)}, {setting}, {repeats}")
    groups: list[str | None] = [None] if setting == 1 else list(SETTING_2_GROUPS)
    configs, variant = ["train", *config], "+".join(config)
    return [
        Run(bundle.name, variant, dataset, setting, group, fold, repeat, seed + repeat, configs, dict(overrides or {}))
        for repeat in range(repeats)
        for group in groups
        for fold in folds
    ]


def execute(study: Study, run: Run) -> Path:
    """Train and evaluate one run and write its result file; at once where the file is there.

    Args:
        study: what it shares with the others.
        run: the run.

    Returns:
        Path of the result file.

    Raises:
        InputError: training or evaluation failed; names the log.
    """
    result = study.output / f"{run.name}.json"
    work = study.output / "work" / run.name
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        # Children inherit the lock: who restarts a killed driver waits for a training that outlived it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if result.is_file():
            return result
        settings = run_settings(study, run, work)
        trained = work / "trained.json"  # the weights alone do not tell: a failing training saves them too
        if not trained.is_file():
            resume = any((work / "models").glob("checkpoint_iteration=*.pt"))
            seconds = _call(study, run, "train", {**settings, "resume": resume}, lock.fileno())
            trained.write_text(json.dumps({"train_seconds": seconds, "resumed": resume}))
        seconds = _call(study, run, "evaluate", settings, lock.fileno())
        content = {
            "run": asdict(run),
            "cases": json.loads((work / "eval" / "cases.json").read_text()),
            "manifest": {**_manifest(study, run), **json.loads(trained.read_text()), "evaluate_seconds": seconds},
            "training": _training(work),
        }
        with whole_file(result) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n")
    return result


def run_settings(study: Study, run: Run, work: Path) -> dict[str, Any]:
    """Return the overrides of training and evaluation of a run that works in a folder."""
    settings: dict[str, Any] = {
        "dataset_dir": study.data,
        "challenge": CHALLENGES.get(run.dataset),
        "fold": run.fold,
        "seed": run.seed,
        "ckpt_dir": str(work / "models"),
        "output_dir": str(work / "eval"),
        "cache_dir": str(study.output / "cache"),
        **run.overrides,
    }
    if run.group is not None:
        organs = excluded_labels(2, run.group, label_names(study.data))
        settings |= {"excluded_labels": organs, "validate#load_support#organs": organs}
    return settings


def _call(study: Study, run: Run, step: str, settings: dict[str, Any], lock: int) -> float:
    """Run MONAI's bundle runner in a process of its own and return the seconds that it took."""
    names = list(run.configs)
    launch = ["-m", "monai.bundle"]
    if step == "evaluate":
        names.append("evaluate")
        settings = {**settings, "protocols": study.protocols}
    elif study.processes > 1:
        names.append("multi_gpu_train")
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={study.processes}", *launch]
    files = str([str(study.bundle.absolute() / "configs" / f"{name}.yaml") for name in names])
    options = [part for key, value in settings.items() for part in (f"--{key}", _as_argument(value))]
    log = study.output / "work" / run.name / f"{step}.log"
    start = time.monotonic()
    with log.open("a") as stream:
        command = [sys.executable, *launch, "run", "--config_file", files, *options]
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, pass_fds=(lock,)
        ).returncode
    if status != 0:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
        raise InputError(f"{run.name}: {step} ended with status {status}: {lines[-1][:300]}; see {log}")
    return round(time.monotonic() - start, 1)


def _as_argument(value: Any) -> str:
    return "$None" if value is None else str(value)


def _manifest(study: Study, run: Run) -> dict[str, Any]:
    """Say what the result depends on: versions, device, and hashes of configuration and data."""
    import torch

    texts = [(study.bundle / "configs" / f"{name}.yaml").read_text() for name in run.configs]
    config = hashlib.sha256("\0".join([*texts, json.dumps(run.overrides, sort_keys=True)]).encode())
    data = hashlib.sha256()
    for item in load_datalist(study.data):
        for key in sorted({"image", "label"} & set(item)):
            data.update(f"{item['subject']} {key} ".encode() + hash_files(Path(item[key])))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "versions": {name: _version(name) for name in _PACKAGES},
        "device": device,
        "processes": study.processes,
        "config_sha256": config.hexdigest(),
        "data_sha256": data.hexdigest(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        from .. import __version__

        return __version__


def _training(work: Path, points: int = 200) -> dict[str, Any]:
    """Read the loss from TensorBoard's files, thinned, and the learned threshold where the network has one."""
    import torch
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(work / "eval"), size_guidance={"scalars": points})
    events.Reload()
    loss = events.Scalars("loss") if "loss" in events.Tags()["scalars"] else []
    threshold = torch.load(work / "models" / "model.pt", weights_only=True, map_location="cpu").get("threshold")
    return {
        "iteration": [event.step for event in loss],
        "loss": [round(event.value, 5) for event in loss],
        "threshold": None if threshold is None else round(float(threshold), 5),
    }
