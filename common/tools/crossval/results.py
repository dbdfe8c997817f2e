"""Result files of cross-validation runs, read and checked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...errors import InputError
from .provenance import differing
from .runs import Run

_TYPES = {"bundle": str, "variant": str, "dataset": str, "setting": int, "fold": int, "repeat": int, "seed": int}
_MEND = "delete it and run fewshot crossval again"


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
    for entry in by_entry(results).values():
        _check_mixture(entry)
    return sorted(results, key=_order)


def read_result(path: Path) -> Result:
    """Read one result file.

    Args:
        path: of the file.

    Raises:
        InputError: it is damaged; names the place.
    """
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no JSON file ({error}): {_MEND}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no result file, it holds a {type(content).__name__}: move it elsewhere")
    for name, kind in (("run", dict), ("cases", list), ("manifest", dict), ("training", dict)):
        if not isinstance(content.get(name), kind):
            raise InputError(f"{path}: {name!r} is missing or no {kind.__name__}; move it elsewhere, or {_MEND}")
    result = Result(_read_run(path, content["run"]), content["cases"], content["manifest"], content["training"], path)
    _check_cases(result)
    return result


def by_entry(results: Iterable[Result]) -> dict[tuple[Any, ...], list[Result]]:
    """Gather the runs that are averaged together: those of one bundle, variant, dataset and setting."""
    entries: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        run = result.run
        entries.setdefault((run.bundle, run.variant, run.dataset, run.setting), []).append(result)
    return entries


def _read_run(path: Path, values: dict[str, Any]) -> Run:
    known = {item.name for item in fields(Run)}
    wrong = sorted(set(values) ^ known)
    if wrong:
        raise InputError(f"{path}: 'run' holds {sorted(values)}, expected {sorted(known)}; {wrong} differ: {_MEND}")
    for name, kind in _TYPES.items():
        if type(values[name]) is not kind:
            raise InputError(f"{path}: run {name} is {values[name]!r}, expected {kind.__name__}: {_MEND}")
    if not isinstance(values["configs"], list) or not isinstance(values["overrides"], dict):
        raise InputError(f"{path}: run configs or overrides are no list and mapping: {_MEND}")
    return Run(**values)


def _check_cases(result: Result) -> None:
    seen = set()
    for number, row in enumerate(result.cases):
        place = f"{result.path}: case row {number}"
        if not isinstance(row, dict) or not {"protocol", "case", "organ", "dice"} <= set(row):
            raise InputError(f"{place} is {row!r}, expected protocol, case, organ and dice: {_MEND}")
        dice = row["dice"]
        if dice is not None and (type(dice) not in (int, float) or not 0 <= dice <= 1):
            raise InputError(f"{place}: dice is {dice!r}, expected 0 to 1: {_MEND}")
        key = (row["protocol"], row["case"], row["organ"])
        if key in seen:
            raise InputError(f"{place} repeats {' '.join(map(str, key))}: {_MEND}")
        seen.add(key)
    if not result.cases:
        raise InputError(f"{result.path} holds no cases: {_MEND}")


def _check_mixture(entry: Sequence[Result]) -> None:
    """Refuse to average runs whose settings differ, and repeats that are none."""
    first = entry[0]
    seeds: dict[tuple[int, str | None, int], Path] = {}
    for result in entry:
        run, processes = result.run, [one.manifest.get("processes") for one in (first, result)]
        changed = [
            f"{name} ({getattr(first.run, name)} and {getattr(run, name)})"
            for name in ("configs", "overrides")
            if getattr(first.run, name) != getattr(run, name)
        ]
        if None not in processes and processes[0] != processes[1]:
            changed.append(f"processes ({processes[0]} and {processes[1]})")
        changed += differing(first.manifest, result.manifest)
        if changed:
            raise InputError(
                f"{first.path} and {result.path} differ in {', '.join(changed)}, a mean says nothing: "
                "keep runs of different settings in folders of their own"
            )
        other = seeds.setdefault((run.fold, run.group, run.seed), result.path)
        if other is not result.path:
            raise InputError(f"{other} and {result.path} have one seed, {run.seed}: a repeat needs another seed")


def _order(result: Result) -> tuple[Any, ...]:
    run = result.run
    return run.bundle, run.variant, run.dataset, run.setting, run.group or "", run.repeat, run.fold
