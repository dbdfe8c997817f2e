"""Lists of the page: every case, and what each run was made with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..comparison import dataset_name, label
from ..results import Result
from ..runs import Run
from ..table import Table

UNKNOWN, UNDEFINED = "unknown", "–"
_FIXED = ("protocol", "case", "organ", "dice")
_COLUMNS = {"hd95_mm": "HD95, mm", "assd_mm": "ASSD, mm"}


def entry_title(run: Run) -> str:
    """Name an entry beyond its place in a table."""
    return f"{label(run)}, {dataset_name(run.dataset)}, setting {run.setting}"


def short_name(run: Run) -> str:
    """Name a run within its entry."""
    return f"{run.group + ' ' if run.group else ''}f{run.fold}-r{run.repeat}"


def scored_rows(entry: Sequence[Result]) -> Iterator[tuple[Result, dict[str, Any]]]:
    """Go through the cases of all runs of an entry."""
    for result in entry:
        for row in result.cases:
            yield result, row


def cases(entries: Sequence[Sequence[Result]]) -> list[Table]:
    """List every case of an entry; distances in mm where they were measured."""
    tables = []
    for entry in entries:
        extra = list(dict.fromkeys(key for _, row in scored_rows(entry) for key in row if key not in _FIXED))
        rows = [
            [
                *(short_name(result.run), row["protocol"].upper(), str(row["case"]), str(row["organ"])),
                UNDEFINED if row["dice"] is None else f"{100 * row['dice']:.2f}",
                *(_number(row.get(key)) for key in extra),
            ]
            for result, row in scored_rows(entry)
        ]
        header = ["run", "protocol", "case", "organ", "Dice, %", *(_COLUMNS.get(key, key) for key in extra)]
        tables.append(Table(entry_title(entry[0].run), header, rows))
    return tables


def manifest(results: Sequence[Result]) -> Table:
    """List what each run was made with and what it cost."""
    keys = list(dict.fromkeys(key for result in results for key in result.manifest if key != "versions"))
    rows = []
    for result in results:
        run, packages = result.run, result.manifest.get("versions") or {}
        overrides = ", ".join(f"{name}={json.dumps(value)}" for name, value in run.overrides.items())
        versions = ", ".join(f"{package} {version}" for package, version in packages.items())
        values = [shown_value(key, result.manifest.get(key)) for key in keys]
        rows.append(
            [run.name, str(run.seed), ", ".join(run.configs), overrides or "none", *values, versions or UNKNOWN]
        )
    titles = [key.replace("_seconds", " time").replace("_", " ") for key in keys]
    return Table("Runs", ["run", "seed", "configurations", "overrides", *titles, "versions"], rows)


def shown_value(key: str, value: Any) -> str:
    """Write a value of a manifest; seconds as minutes where there are many."""
    if value is None:
        return UNKNOWN
    if key.endswith("seconds"):
        return f"{value:.1f} s" if value < 60 else f"{value / 60:.1f} min"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _number(value: Any) -> str:
    return UNDEFINED if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
