"""The runs of a cross-validation: which they are, and what each is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ...configuration.files import ABLATIONS
from ...configuration.workflow import merged_config
from ...data import label_names, label_values, number_of_folds, organ_groups
from ...data.datalists import natural_key
from ...errors import InputError
from ...files.literals import literal

STATISTICS_FILE = "statistics.json"
# Published folds by dataset; others are cut into five.
CHALLENGES = {"chaos_t2": "chaos", "sabs": "sabs", "mscmr": "mscmr", "visceral": "visceral"}


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
    def untrained(self) -> bool:
        """Whether the network is scored as it is initialised."""
        return "checkpoint" in self.overrides and self.overrides["checkpoint"] is None

    @property
    def name(self) -> str:
        """Name of its result file and of its folder."""
        return "-".join(filter(None, (self.bundle, self.variant, self.dataset, f"s{self.setting}", self.place)))

    @property
    def place(self) -> str:
        """Name among the runs that are averaged together, such as f0-r1."""
        return "-".join(filter(None, (self.group, f"f{self.fold}", f"r{self.repeat}")))


@dataclass(frozen=True)
class Experiment:
    """What all runs share: bundle folder, data, output folder, protocols and processes per training."""

    bundle: Path
    data: str
    output: Path
    protocols: list[str]
    processes: int = 1


def list_runs(
    bundle: Path,
    dataset: str,
    folds: Sequence[int] | None = None,
    repeats: int = 1,
    setting: int = 1,
    config: Sequence[str] = (),
    overrides: dict[str, Any] | None = None,
    seed: int = 2021,
    data: str | None = None,
    untrained: bool = False,
) -> list[Run]:
    """List the runs of a cross-validation, repeat by repeat.

    Methods that learn from annotated organs (``test_organs`` in their configuration) are trained once for each group of
    test organs, on the other organs; where the dataset has other organs, once, with the organs of the configuration.

    Args:
        bundle: bundle folder.
        dataset: name; chaos_t2, sabs, mscmr and visceral have published folds.
        folds: numbers 0 to 4, visceral has 0 only; None for all.
        repeats: trainings per fold, with seeds ``seed``, ``seed + 1``, ...
        setting: 1, or 2: one training per group of test organs, without the slices that show them.
        config: overlays of train.yaml.
        overrides: ids and values for training and evaluation.
        seed: of the first repeat.
        data: dataset folder, to see which organs it names; None takes those of the groups for granted.
        untrained: score the networks as they are initialised.

    Raises:
        InputError: a fold, the setting or the number of repeats does not exist, or setting 2 lacks its organs.
    """
    known = range(number_of_folds(dataset))
    folds = known if folds is None else folds
    if setting not in (1, 2) or repeats < 1 or not folds or not set(folds) <= set(known):
        raise InputError(
            f"folds are 0 to {known[-1]}, settings 1 and 2, repeats from 1; got {list(folds)}, {setting}, {repeats}"
        )
    configs, overrides = ["train", *config], dict(overrides or {})
    if untrained:
        # evaluate.yaml would start from random weights, since a checkpoint brings all; here nothing else does.
        inits = {key: value for key, value in merged_config(bundle, configs).items() if key == "init"}
        overrides = {**inits, **overrides, "checkpoint": None}
    variant = "+".join([*config, *(["untrained"] if untrained else [])])
    groups: list[str | None] = [None]
    by_group = organ_groups(dataset, setting)
    if setting == 2 or _learns_from_organs(bundle, configs, overrides):
        try:
            if data is not None:
                label_values(chain(*by_group.values()), label_names(data))
            groups = list(by_group)
        except InputError:
            if setting == 2:
                raise
    return [
        Run(bundle.name, variant, dataset, setting, group, fold, repeat, seed + repeat, configs, dict(overrides))
        for repeat in range(repeats)
        for group in groups
        for fold in folds
    ]


def ablation_overlays(bundle: Path, ablation: str, configs: Sequence[str] = ()) -> list[str]:
    """List the overlays of an ablation, in natural order, without those that change nothing.

    Args:
        bundle: bundle folder.
        ablation: what its overlays' names begin with, such as ``kappa``.
        configs: overlays of train.yaml that they follow.

    Raises:
        InputError: the bundle has no such ablation.
    """
    names = sorted((path.stem for path in (bundle / "configs" / ABLATIONS).glob("*.yaml")), key=natural_key)
    chosen = [name for name in names if name.split("_")[0] == ablation]
    if not chosen:
        known = ", ".join(dict.fromkeys(name.split("_")[0] for name in names)) or "none"
        raise InputError(f"{bundle} has no ablation {ablation!r}; there are: {known}")
    base = merged_config(bundle, ["train", *configs])
    return [name for name in chosen if base | merged_config(bundle, [name]) != base]


def run_settings(experiment: Experiment, run: Run, work: Path) -> dict[str, Any]:
    """Return the overrides of training and evaluation of a run that works in a folder.

    Paths in it are literals. ``statistics.json`` in that folder, intensities of its training scans, belongs to them.
    """
    settings: dict[str, Any] = {
        "dataset_dir": literal(experiment.data),
        "challenge": CHALLENGES.get(run.dataset),
        "fold": run.fold,
        "seed": run.seed,
        "ckpt_dir": literal(work / "models"),
        "output_dir": literal(work / "eval"),
        "cache_dir": literal(experiment.output / "cache"),
    }
    if (work / STATISTICS_FILE).is_file():
        settings |= json.loads((work / STATISTICS_FILE).read_text())
    if run.group is not None:
        names, groups = label_names(experiment.data), organ_groups(run.dataset, run.setting)
        organs = label_values(groups[run.group], names)
        settings["validate#load_support#organs"] = organs
        if run.setting == 2:
            settings["excluded_labels"] = organs
        if _learns_from_organs(experiment.bundle, run.configs, run.overrides):
            every = label_values(chain(*groups.values()), names)
            settings |= {"test_organs": organs, "fold_organs": every}
    return settings | run.overrides


def needs_statistics(experiment: Experiment, run: Run) -> bool:
    """Tell whether a run scales intensities by mean and deviation of its training scans (CT) that nobody gave."""
    config = merged_config(experiment.bundle, run.configs) | run.overrides
    return config.get("intensity_window") is not None and config.get("intensity_mean") is None


def _learns_from_organs(bundle: Path, configs: Sequence[str], overrides: dict[str, Any]) -> bool:
    """Tell whether a method is trained on annotated organs, those that are to be tested left to us."""
    return merged_config(bundle, configs).get("test_organs") is not None and "test_organs" not in overrides
