"""The page of measured results: everything between its markers is written from result files and configurations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from ...errors import InputError
from ...files.writing import write_text
from .comparison import comparison_tables, dataset_name, label, places
from .differences import Difference, differences, episodes
from .results import Result, by_entry, read_results
from .table import Table, render

BEGIN, END = "<!-- written by fewshot table: begin -->", "<!-- written by fewshot table: end -->"
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


def write_results_page(results_dir: Path, page: Path, bundles: Path = Path("bundles")) -> None:
    """Write the part of a page that comes from result files; what stands outside of its markers stays.

    Args:
        results_dir: folder of result files.
        page: Markdown file with a begin and an end marker; made where there is none.
        bundles: folder of the bundles, whose configurations the differences to the papers are read from.

    Raises:
        InputError: damaged results, no such configuration, or a page without markers.
    """
    text = page.read_text() if page.is_file() else f"# Measured results\n\n{BEGIN}\n{END}\n"
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InputError(f"{page} needs one line {BEGIN!r} and, below it, one line {END!r}")
    parts, results = [_NOTES], read_results(results_dir)
    for dataset in sorted({result.run.dataset for result in results}):
        here = [result for result in results if result.run.dataset == dataset]
        entries = [entry for entry in by_entry(here) if not entry[0].run.untrained]
        name = dataset_name(dataset)
        tables = [
            *comparison_tables(places(here)),
            _differences(name, entries, bundles),
            _costs(name, entries, bundles),
        ]
        written = (render([table], "markdown").rstrip() for table in tables if table.rows or table.notes)
        parts += [f"## {name}", *written]
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    write_text(page, "\n\n".join([before + BEGIN, *parts, after]))


def _differences(dataset: str, entries: Sequence[Sequence[Result]], bundles: Path) -> Table:
    """Say in what the configurations of the tables' lines differ from the papers'."""
    users: dict[Difference, list[str]] = {}
    same = []
    for run in (entry[0].run for entry in entries):
        changes = differences(run, bundles)
        same += [] if changes else [label(run)]
        for change in changes:
            users.setdefault(change, []).append(label(run))
    rows = [[*change, "; ".join(names)] for change, names in users.items()]
    notes = [f"As in the paper: {'; '.join(same)}."] if same else []
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
