"""The page of measured results: everything between its markers is written from result files and configurations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from ...data.folds import number_of_folds
from ...errors import InputError
from ...files.writing import write_text
from .comparison import NONE, comparison_tables, dataset_name, label, places, table_place
from .differences import Difference, differences, episodes, paper_training
from .overview import PROTOCOLS, Overview
from .provenance import config_hash
from .published import all_abouts, all_figures, method_name
from .queue import Entry, read_queue
from .results import Result, by_entry, read_results
from .table import Table, render

BEGIN, END = "<!-- written by fewshot table: begin -->", "<!-- written by fewshot table: end -->"
OVERVIEW = ("<!-- written by fewshot table --queue: begin -->", "<!-- written by fewshot table --queue: end -->")
CHART = "overview-{}.svg"  # of a dataset, beside the result files
UNKNOWN = "unknown"
_NOTES = """Dice is taken per query volume, 2 tp / (2 tp + fp + fn) over its scored slices. A run's figure for an organ
is the mean over its query volumes; an organ's figure the mean over runs (folds and repeats), ± their population
standard deviation; the mean column averages the organs' figures, ± the population standard deviation over these
organs, as in ADNet's tables. "± over runs" is the deviation of the runs' mean Dice. A run is named by fold and repeat:
f0-r1."""
_COST_NOTE = "Means over the runs. Elapsed time unless it says processor; other work may have shared the machine."
# Title, name in the manifest, divisor and form
_COSTS = (
    ("training", "train_seconds", 60, "{:.1f} min"),
    ("training, processor", "train_processor_seconds", 60, "{:.1f} min"),
    ("evaluation", "evaluate_seconds", 1, "{:.0f} s"),
    ("memory", "peak_memory_mb", 1024, "{:.1f} GB"),
)


def write_results_page(
    results_dir: Path, page: Path, bundles: Path = Path("bundles"), queue: Path | None = None
) -> None:
    """Write the parts of a page that come from result files; what stands outside of its markers stays.

    Args:
        results_dir: folder of result files.
        page: Markdown file with begin and end markers; made where there is none.
        bundles: folder of the bundles, whose configurations the differences to the papers are read from.
        queue: of the runs, for the overview and its chart, which stands beside the result files.

    Raises:
        InputError: damaged results, no such configuration, a page without markers or with an overview and no queue, or
            none of the results is of the queue.
    """
    parts: dict[tuple[str, str], Any] = {(BEGIN, END): _details}
    if queue is not None:
        parts[OVERVIEW] = partial(_overview, entries=read_queue(queue), results_dir=results_dir)
    if not page.is_file():
        markers = reversed(parts)
        text = "# Measured results\n\n" + "".join(f"{begin}\n{end}\n" for begin, end in markers)
    else:
        text = page.read_text()
    if queue is None and OVERVIEW[0] in text:
        raise InputError(
            f"{page} has an overview, which would be out of date: give its queue, --queue docs/tables.yaml"
        )
    present = [marks for marks in parts if any(mark in text for mark in marks)] or [(BEGIN, END)]
    for begin, end in present:
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise InputError(f"{page} needs one line {begin!r} and, below it, one line {end!r}")
    results = read_results(results_dir)
    for begin, end in present:
        before, after = text[: text.index(begin)], text[text.index(end) :]
        text = "\n\n".join([before + begin, *parts[begin, end](results, bundles), after])
    write_text(page, text)


def _details(results: Sequence[Result], bundles: Path) -> list[str]:
    """Write every table of every dataset."""
    parts = [_NOTES]
    for dataset in sorted({result.run.dataset for result in results}):
        here = [result for result in results if result.run.dataset == dataset]
        entries = [entry for entry in by_entry(here) if not entry[0].run.untrained]
        name = dataset_name(dataset)
        tables = [
            *comparison_tables(places(here)),
            _papers(dataset, here, bundles),
            _differences(name, entries, bundles),
            _costs(name, entries, bundles),
        ]
        written = (render([table], "markdown").rstrip() for table in tables if table.rows or table.notes)
        parts += [f"## {name}", *written]
    return parts


def _overview(results: Sequence[Result], bundles: Path, entries: Sequence[Entry], results_dir: Path) -> list[str]:
    """Write one table of all methods and starts for each dataset of the queue, and its chart."""
    tables = []
    for dataset in sorted({result.run.dataset for result in results}):
        overview = Overview(results, entries, dataset)
        if overview.summaries:
            overview.chart(results_dir / CHART.format(dataset))
            tables.append(overview.table(f"{dataset_name(dataset)}, folds: {number_of_folds(dataset)}"))
    if not tables:
        raise InputError(f"none of the results in {results_dir} is of this queue; run fewshot crossval --queue first")
    return [render(tables, "markdown").rstrip()]


def _papers(dataset: str, results: Sequence[Result], bundles: Path) -> Table:
    """List what the papers report of the methods that have results, and how their networks were trained."""
    abouts = {name: about for about in all_abouts(bundles) for name in about["methods"]}
    shown = {method_name(result.run) for result in results} & set(abouts)
    lines: dict[tuple[str, str, str, int], dict[str, float]] = {}
    for row in all_figures():
        if row.dataset == dataset and "mean" in row.dice and row.method in shown:
            line = (row.method, row.paper, table_place(row.table), row.setting)
            lines.setdefault(line, {})[row.protocol] = row.dice["mean"]
    rows = []
    for (method, paper, place, setting), means in sorted(lines.items()):
        about = abouts[method]
        scores = [f"{means[protocol]:.1f}" if protocol in means else NONE for protocol in PROTOCOLS]
        # How another paper's authors trained the method is not known.
        own = paper == about["name"]
        how = paper_training(bundles / about["bundle"], dataset, about["methods"][method]) if own else [NONE] * 3
        rows.append([method, f"{paper}, {place}", str(setting), *scores, *how])
    header = ["", "source", "setting", *(protocol.upper() for protocol in PROTOCOLS), "encoder", "start", "episodes"]
    notes = ["Mean Dice in percent. Encoder, start and episodes are those of the bundle's train.yaml, the paper's."]
    return Table(f"{dataset_name(dataset)}: what the papers report", header, rows, notes if rows else [])


def _differences(dataset: str, entries: Sequence[Sequence[Result]], bundles: Path) -> Table:
    """Say in what the configurations of the tables' lines differ from the papers', where they are still the same."""
    users: dict[Difference, list[str]] = {}
    same, changed = [], []
    for run, manifest in ((entry[0].run, entry[0].manifest) for entry in entries):
        if manifest.get("config_sha256") != config_hash(bundles / run.bundle, run):
            changed.append(label(run))
            continue
        changes = differences(run, bundles)
        same += [] if changes else [label(run)]
        for change in changes:
            users.setdefault(change, []).append(label(run))
    rows = [[*change, "; ".join(names)] for change, names in users.items()]
    notes = [f"As in the paper: {'; '.join(same)}."] if same else []
    if changed:
        notes.append(f"Not compared, since the configuration has changed after the runs: {'; '.join(changed)}.")
    header = ["setting", "paper", "here", "lines of the tables"]
    return Table(f"{dataset}: configurations beside the papers'", header, rows, notes)


def _costs(dataset: str, entries: Sequence[Sequence[Result]], bundles: Path) -> Table:
    rows = []
    kinds = [kind for kind in _COSTS if any(_mean(entry, kind[1]) is not None for entry in entries)]
    for entry in entries:
        means = [(_mean(entry, name), unit, text) for _, name, unit, text in kinds]
        cells = [UNKNOWN if mean is None else text.format(mean / unit) for mean, unit, text in means]
        seeds = ", ".join(map(str, sorted({result.run.seed for result in entry})))
        devices = ", ".join(sorted({str(result.manifest.get("device", UNKNOWN)) for result in entry}))
        rows.append([label(entry[0].run), episodes(entry[0].run, bundles), seeds, *cells, devices])
    header = ["", "episodes", "seeds", *(title for title, *_ in kinds), "device"]
    return Table(f"{dataset}: cost of a run", header, rows, [_COST_NOTE] if kinds else [])


def _mean(entry: Sequence[Result], name: str) -> float | None:
    values = [result.manifest[name] for result in entry if result.manifest.get(name) is not None]
    return fmean(values) if values else None
