"""Parts of the page: charts, and tables of cases and runs; a part is a title and what stands below it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..comparison import NONE, Place, dataset_name, label
from ..published import method_name
from ..results import Result
from ..runs import Run
from ..table import Table
from .charts import box_plot, curves
from .gallery import Picture

_UNKNOWN, _NOT_RECORDED = "unknown", "none recorded"
_FIXED = ("protocol", "case", "organ", "dice")
_COLUMNS = {"hd95_mm": "HD95, mm", "assd_mm": "ASSD, mm"}


def entry_title(run: Run) -> str:
    """Name an entry beyond its place in a table."""
    return f"{label(run)}, {dataset_name(run.dataset)}, setting {run.setting}"


def overview(shown: Sequence[Place]) -> dict[str, str]:
    """Open the page: one sentence and one chart, of the table that rests on the most runs."""
    place = max(shown, key=lambda place: sum(len(summary.runs) for summary in place.summaries))
    names = [method_name(summary.run) for summary in place.summaries]
    boxes = [(name, list(summary.runs.values())) for name, summary in zip(names, place.summaries, strict=True)]
    means = [(one.over_runs.mean, name) for name, one in zip(names, place.summaries, strict=True) if one.over_runs]
    sentence = "{1} has the highest mean Dice, {0:.1f} %".format(*max(means)) if means else "No run is complete yet"
    chart = box_plot(boxes, f"{place.title}: mean Dice of each run, by method")
    return {"sentence": f"{sentence}: {place.title}.", "chart": chart}


def box_plots(shown: Sequence[Place]) -> list[dict[str, Any]]:
    """Chart Dice per case: one part for each table, in it one chart per organ."""
    parts = []
    for place in shown:
        values: dict[str, list[list[float | None]]] = {}
        for number, summary in enumerate(place.summaries):
            for row in (row for result in summary.results for row in result.cases):
                if row["protocol"] == place.protocol:
                    boxes = values.setdefault(row["organ"], [[] for _ in place.summaries])
                    boxes[number].append(None if row["dice"] is None else 100 * row["dice"])
        names = [method_name(summary.run) for summary in place.summaries]
        charts = {
            organ: box_plot(
                list(zip(names, boxes, strict=True)),
                f"{place.title}, {organ}: Dice per case; all values are in the tables of cases",
            )
            for organ, boxes in values.items()
        }
        parts.append({"title": place.title, "charts": charts})
    return parts


def supervoxels(pictures: Sequence[Picture]) -> dict[str, list[str]]:
    """Gather the entries that share a picture of supervoxels, under its URI."""
    users: dict[str, list[str]] = {}
    for picture in pictures:
        if picture.uri and not picture.case:
            users.setdefault(picture.uri, []).append(entry_title(picture.result.run))
    return users


def missing(pictures: Sequence[Picture], of_cases: bool) -> dict[str, list[str]]:
    """Name the pictures that are not there, under the reason: those of cases, or those of supervoxels."""
    names: dict[str, list[str]] = {}
    for picture in pictures:
        if picture.reason and bool(picture.case) == of_cases:
            run, what = picture.result.run, f"{picture.protocol.upper()}, {picture.organ}, {picture.rank}"
            which = f": {what} ({picture.case}, {run.place})" if of_cases else ""
            names.setdefault(picture.reason, []).append(entry_title(run) + which)
    return names


def training(entries: Sequence[Sequence[Result]]) -> list[tuple[str, str]]:
    """Chart the loss of each run, entry by entry; empty where none is recorded."""
    charts = []
    for entry in entries:
        title = entry_title(entry[0].run)
        curve = [(one.run.place, one.training["iteration"], one.training["loss"]) for one in entry if _losses(one)]
        charts.append((title, curves(curve, f"Training loss of {title}") if curve else ""))
    return charts


def cases(entries: Sequence[Sequence[Result]]) -> list[Table]:
    """List every case of an entry; distances in mm where they were measured."""
    tables = []
    for entry in entries:
        extra = list(dict.fromkeys(key for result in entry for row in result.cases for key in row if key not in _FIXED))
        rows = [
            [
                *(result.run.place, row["protocol"].upper(), str(row["case"]), str(row["organ"])),
                _number(None if row["dice"] is None else 100.0 * row["dice"]),
                *(_number(row.get(key)) for key in extra),
            ]
            for result in entry
            for row in result.cases
        ]
        header = ["run", "protocol", "case", "organ", "Dice, %", *(_COLUMNS.get(key, key) for key in extra)]
        tables.append(Table(entry_title(entry[0].run), header, rows))
    return tables


def runs(results: Sequence[Result]) -> Table:
    """List what each run learned, what it was made with and what it cost."""
    keys = list(dict.fromkeys(key for result in results for key in result.manifest if key != "versions"))
    rows = []
    for result in results:
        run, packages, losses = result.run, result.manifest.get("versions") or {}, _losses(result)
        threshold = result.training.get("threshold")
        rows.append(
            [
                *(run.name, str(run.seed), ", ".join(run.configs)),
                ", ".join(f"{name}={json.dumps(value)}" for name, value in run.overrides.items()) or "none",
                str(result.training["iteration"][-1]) if losses else _NOT_RECORDED,
                f"{losses[-1]:.4f}" if losses else _NOT_RECORDED,
                _NOT_RECORDED if threshold is None else f"{threshold:.3f}",
                *(_manifest_value(key, result.manifest.get(key)) for key in keys),
                ", ".join(f"{package} {version}" for package, version in packages.items()) or _UNKNOWN,
            ]
        )
    header = ["run", "seed", "configurations", "overrides", "last iteration", "last loss", "learned threshold"]
    return Table(
        "Runs", [*header, *(key.replace("_seconds", " time").replace("_", " ") for key in keys), "versions"], rows
    )


def _losses(result: Result) -> list[float]:
    return result.training.get("loss") or []


def _manifest_value(key: str, value: Any) -> str:
    """Write a value of a manifest; seconds as minutes where there are many."""
    if value is None:
        return _UNKNOWN
    if key.endswith("seconds"):
        return f"{value:.1f} s" if value < 60 else f"{value / 60:.1f} min"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _number(value: Any) -> str:
    return NONE if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
