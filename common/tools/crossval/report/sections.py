"""Parts of the page: charts, pictures, and tables of trainings, cases and runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ..comparison import dataset_name, label, places
from ..published import method_name
from ..results import Result
from ..runs import Run
from ..table import Table
from .charts import Box, Curve, box_plot, curves
from .gallery import Gallery, choose_cases, supervoxel_picture

_UNKNOWN, _UNDEFINED = "unknown", "–"
_FIXED = ("protocol", "case", "organ", "dice")
_COLUMNS = {"hd95_mm": "HD95, mm", "assd_mm": "ASSD, mm"}
_TRAINING = ["run", "seed", "last iteration", "last loss", "learned threshold", "training time"]


class Figure(NamedTuple):
    """A picture as data URI, with its caption and its description."""

    uri: str
    caption: str
    description: str


@dataclass
class Part:
    """A heading and what stands below it: charts as (title, SVG), figures, tables."""

    title: str
    charts: list[tuple[str, str]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def overview(results: Sequence[Result]) -> Part:
    """Open the page: one sentence and one chart, of the table that rests on the most runs."""
    place, summaries = max(
        ((place, place.summaries) for place in places(results)),
        key=lambda found: sum(len(summary.runs) for summary in found[1]),
    )
    boxes = [Box(method_name(summary.run), list(summary.runs.values())) for summary in summaries]
    means = [(fmean(box.values), box.label) for box in boxes if box.values]
    sentence = "No run is complete yet"
    if means:
        sentence = "{1} has the highest mean Dice, {0:.1f} %".format(*max(means))
    chart = box_plot(boxes, f"{place.title}: mean Dice of each run, by method")
    return Part(f"{sentence}: {place.title}.", [("Mean Dice of each run", chart)])


def box_plots(results: Sequence[Result]) -> list[Part]:
    """Chart Dice per case: one part for each table, in it one chart per organ."""
    parts = []
    for place in places(results):
        part = Part(place.title)
        rows = [
            (method_name(entry[0].run), [row for _, row in _scored_rows(entry) if row["protocol"] == place.protocol])
            for entry in place.entries
        ]
        for organ in dict.fromkeys(row["organ"] for _, here in rows for row in here):
            boxes = [_box(name, here, organ) for name, here in rows if here]
            description = f"{place.title}, {organ}: Dice per case; all values are in the tables of cases"
            part.charts.append((organ, box_plot(boxes, description)))
        parts.append(part)
    return parts


def overlays(
    entries: Sequence[Sequence[Result]], results_dir: Path, gallery: Gallery
) -> tuple[list[Part], dict[str, list[str]]]:
    """Show the best, median and worst case per protocol and organ; also say why, for those that are not shown."""
    parts: list[Part] = []
    missing: dict[str, list[str]] = {}
    for entry in _trained(entries):
        part = Part(_entry_title(entry[0].run))
        for choice in choose_cases(entry, results_dir):
            picture = choice.picture
            what = f"{picture.protocol.upper()}, {picture.organ}, {choice.rank}"
            place = f"{picture.case}, {_short_name(choice.result.run)}"
            uri = gallery.images.get(picture.path)
            if uri is None:
                missing.setdefault(gallery.reasons[picture.path], []).append(f"{part.title}: {what} ({place})")
                continue
            caption = f"{what}: Dice {100 * picture.dice:.1f}. {place}"
            seen = f"Slices of {picture.case}, above the scan, below the predicted {picture.organ} in colour"
            part.figures.append(Figure(uri, caption, f"{seen} and the reference outlined in white"))
        parts += [part] if part.figures else []
    return parts, missing


def supervoxels(
    entries: Sequence[Sequence[Result]], results_dir: Path, gallery: Gallery
) -> tuple[list[Figure], dict[str, list[str]]]:
    """Show one training scan's supervoxels for each way of making them; also say why, for those not shown."""
    users: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for entry in _trained(entries):
        path, title = supervoxel_picture(entry, results_dir), _entry_title(entry[0].run)
        uri = gallery.images.get(path)
        if uri is not None:
            users.setdefault(uri, []).append(title)
        else:
            missing.setdefault(gallery.reasons[path], []).append(title)
    seen = "Four slices of a training scan under its supervoxels in colours, and a histogram of their sizes"
    return [Figure(uri, "; ".join(names), seen) for uri, names in users.items()], missing


def training(entries: Sequence[Sequence[Result]]) -> list[Part]:
    """Chart the loss of each run and list last loss, learned threshold and time; untrained networks have none."""
    parts = []
    for entry in _trained(entries):
        run = entry[0].run
        part = Part(_entry_title(run))
        lines = [
            Curve(_short_name(result.run), result.training["iteration"], result.training["loss"])
            for result in entry
            if result.training.get("loss")
        ]
        if lines:
            part.charts.append(("Loss", curves(lines, f"Training loss of {part.title}")))
        part.tables.append(Table(f"Runs of {part.title}", _TRAINING, [_training_row(result) for result in entry]))
        parts.append(part)
    return parts


def cases(entries: Sequence[Sequence[Result]]) -> list[Table]:
    """List every case of an entry; distances in mm where they were measured."""
    tables = []
    for entry in entries:
        extra = list(dict.fromkeys(key for _, row in _scored_rows(entry) for key in row if key not in _FIXED))
        rows = [
            [
                *(_short_name(result.run), row["protocol"].upper(), str(row["case"]), str(row["organ"])),
                _UNDEFINED if row["dice"] is None else f"{100 * row['dice']:.2f}",
                *(_number(row.get(key)) for key in extra),
            ]
            for result, row in _scored_rows(entry)
        ]
        header = ["run", "protocol", "case", "organ", "Dice, %", *(_COLUMNS.get(key, key) for key in extra)]
        tables.append(Table(_entry_title(entry[0].run), header, rows))
    return tables


def manifest(results: Sequence[Result]) -> Table:
    """List what each run was made with and what it cost."""
    keys = list(dict.fromkeys(key for result in results for key in result.manifest if key != "versions"))
    rows = []
    for result in results:
        run, packages = result.run, result.manifest.get("versions") or {}
        overrides = ", ".join(f"{name}={json.dumps(value)}" for name, value in run.overrides.items())
        versions = ", ".join(f"{package} {version}" for package, version in packages.items())
        values = [_shown_value(key, result.manifest.get(key)) for key in keys]
        rows.append(
            [run.name, str(run.seed), ", ".join(run.configs), overrides or "none", *values, versions or _UNKNOWN]
        )
    titles = [key.replace("_seconds", " time").replace("_", " ") for key in keys]
    return Table("Runs", ["run", "seed", "configurations", "overrides", *titles, "versions"], rows)


def _entry_title(run: Run) -> str:
    """Name an entry beyond its place in a table."""
    return f"{label(run)}, {dataset_name(run.dataset)}, setting {run.setting}"


def _short_name(run: Run) -> str:
    """Name a run within its entry."""
    return f"{run.group + ' ' if run.group else ''}f{run.fold}-r{run.repeat}"


def _scored_rows(entry: Sequence[Result]) -> Iterator[tuple[Result, dict[str, Any]]]:
    """Go through the cases of all runs of an entry."""
    for result in entry:
        for row in result.cases:
            yield result, row


def _shown_value(key: str, value: Any) -> str:
    """Write a value of a manifest; seconds as minutes where there are many."""
    if value is None:
        return _UNKNOWN
    if key.endswith("seconds"):
        return f"{value:.1f} s" if value < 60 else f"{value / 60:.1f} min"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _number(value: Any) -> str:
    return _UNDEFINED if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def _trained(entries: Sequence[Sequence[Result]]) -> list[Sequence[Result]]:
    return [entry for entry in entries if not entry[0].run.untrained]


def _training_row(result: Result) -> list[str]:
    losses, steps = result.training.get("loss") or [], result.training.get("iteration") or []
    threshold = result.training.get("threshold")
    return [
        _short_name(result.run),
        str(result.run.seed),
        str(steps[-1]) if steps else "none recorded",
        f"{losses[-1]:.4f}" if losses else "none recorded",
        "none recorded" if threshold is None else f"{threshold:.3f}",
        _shown_value("train_seconds", result.manifest.get("train_seconds")),
    ]


def _box(name: str, cases: Sequence[dict[str, Any]], organ: str) -> Box:
    dice = [row["dice"] for row in cases if row["organ"] == organ]
    known = [100 * value for value in dice if value is not None]
    return Box(name, known, len(dice) - len(known))
