"""Result files of cross-validation runs, read and checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, one_line
from .provenance import KINDS, differing
from .runs import Run


@dataclass(frozen=True)
class Result:
    """One run's result file.

    Attributes:
        run: what was trained.
        cases: rows of ``CaseMetrics``; Dice from 0 to 1, distances in mm.
        manifest: versions, device, hashes and seconds.
        training: iterations with their losses, and the learned threshold.
        path: of the file.
    """

    run: Run
    cases: list[dict[str, Any]]
    manifest: dict[str, Any]
    training: dict[str, Any]
    path: Path


def read_results(folder: Path) -> list[Result]:
    """Read all result files of a folder; unfinished runs, which have none yet, are simply not among them.

    Args:
        folder: with one ``.json`` file per run.

    Returns:
        Results in the order of bundle, variant, dataset, setting, group, repeat and fold.

    Raises:
        InputError: no result file, a damaged one, two of one run, or runs that cannot be averaged together.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; give the one that fewshot crossval wrote to")
    # A killed run may leave a hidden file behind.
    results = [read_result(path) for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]
    if not results:
        raise InputError(f"{folder} holds no result file (*.json); run fewshot crossval, or wait for its first run")
    names: dict[str, Path] = {}
    for result in results:
        other = names.setdefault(result.run.name, result.path)
        if other is not result.path:
            raise InputError(f"{other} and {result.path} are both of run {result.run.name}: delete one")
    for entry in by_entry(results):
        _check_mixture(entry)
    return sorted(results, key=lambda item: (*_kind(item.run), item.run.group or "", item.run.repeat, item.run.fold))


def read_result(path: Path) -> Result:
    """Read one result file.

    Args:
        path: of the file.

    Raises:
        InputError: it is damaged, or another file.
    """
    try:
        content = json.loads(path.read_text())
        result = Result(Run(**content["run"]), content["cases"], content["manifest"], content["training"], path)
        run, seen = result.run, [(row["protocol"], row["case"], row["organ"]) for row in result.cases]
        numbers = (run.setting, run.fold, run.repeat, run.seed)
        mappings = (run.overrides, result.manifest, result.training)
        if [*map(type, numbers), type(run.configs), *map(type, mappings)] != [*[int] * 4, list, *[dict] * 3]:
            raise TypeError("a value is of another type")
        if not seen or len(set(seen)) < len(seen):
            raise ValueError("no cases, or one of them twice")
        wrong = [row["dice"] for row in result.cases if row["dice"] is not None and not 0 <= row["dice"] <= 1]
        if wrong:
            raise ValueError(f"dice is {wrong[0]}, expected 0 to 1")
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise InputError(
            f"{path} is damaged or no result file ({reason}): delete it and run fewshot crossval again, or move it "
            "elsewhere"
        ) from error
    return result


def by_entry(results: Iterable[Result]) -> list[list[Result]]:
    """Gather the runs that are averaged together: those of one bundle, variant, dataset and setting."""
    entries: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        entries.setdefault(_kind(result.run), []).append(result)
    return list(entries.values())


def _kind(run: Run) -> tuple[Any, ...]:
    return run.bundle, run.variant, run.dataset, run.setting


def _check_mixture(entry: Sequence[Result]) -> None:
    """Refuse to average runs whose settings differ, and repeats that are none."""
    first = entry[0]
    seeds: dict[tuple[int, str | None, int], Path] = {}
    for result in entry:
        one, other = ({"processes": None, **item.manifest, **asdict(item.run)} for item in (first, result))
        told = ["processes"] if None not in (one["processes"], other["processes"]) else []
        if changed := differing(one, other, ["configs", "overrides", *told, *KINDS]):
            raise InputError(
                f"{first.path} and {result.path} differ in {changed}, a mean says nothing: "
                "keep runs of different settings in folders of their own"
            )
        same = seeds.setdefault((result.run.fold, result.run.group, result.run.seed), result.path)
        if same is not result.path:
            raise InputError(f"{same} and {result.path} have one seed, {result.run.seed}: a repeat needs another seed")
