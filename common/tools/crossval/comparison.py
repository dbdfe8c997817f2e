"""Our results beside the papers': per-organ tables, tests between methods, and the cases behind them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .published import is_paper_configuration, method_name, published, published_organs, scale_overlays
from .results import Result, by_entry, read_results
from .runs import Run
from .statistics import Score, Summary, compare, entry_organs, summarise_entry
from .table import Table, render

MISSING, NONE = "missing", "–"
_DATASETS = {
    "chaos_t2": "CHAOS T2-SPIR", "mscmr": "MS-CMRSeg bSSFP", "sabs": "SABS", "visceral": "VISCERAL",
    "phantom": "Built-in phantom",
}  # fmt: skip
_TEST_NOTE = (
    "One-sided Wilcoxon signed-rank test on mean Dice across all runs, paired by fold and repeat, not corrected for "
    "the number of tests. Fewer than five runs cannot be significant."
)
_DIFFERENCE_NOTE = "Differences to the papers in points of Dice, over the runs that are there."
_RUN_COLUMNS = ("bundle", "variant", "dataset", "setting", "group", "fold", "repeat", "seed")


class Place(NamedTuple):
    """What shares a table: the entries of one dataset, setting, scale and protocol that measured something."""

    title: str
    protocol: str
    organs: list[str]
    summaries: list[Summary]


def format_results(folder: Path, form: str = "text") -> str:
    """Write the tables of a folder of result files, or its cases.

    Args:
        folder: of ``fewshot crossval``.
        form: ``text``, ``markdown``, ``latex``, or ``csv`` for the cases of all runs.

    Raises:
        InputError: unknown form, or the folder cannot be read.
    """
    results = read_results(folder)
    return _cases_csv(results) if form == "csv" else render(comparison_tables(places(results)), form)


def places(results: Sequence[Result]) -> Iterator[Place]:
    """Go through the tables of results in the order in which they are shown."""
    found: dict[tuple[str, int, tuple[str, ...]], list[list[Result]]] = {}
    for entry in sorted(by_entry(results), key=lambda entry: entry[0].run.untrained):
        run = entry[0].run
        scale = tuple(name for name in scale_overlays(run) if name != run.dataset)
        found.setdefault((run.dataset, run.setting, scale), []).append(entry)
    for (dataset, setting, scale), entries in sorted(found.items(), key=lambda item: item[0]):
        every = dict.fromkeys(organ for entry in entries for organ in entry_organs(entry))
        for protocol in sorted({row["protocol"] for entry in entries for result in entry for row in result.cases}):
            title = f"{dataset_name(dataset)}, setting {setting}, {protocol.upper()}"
            title += f" ({', '.join(scale)})" if scale else ""
            summaries = (summarise_entry(entry, protocol) for entry in entries)
            measured = [summary for summary in summaries if summary.scores]
            yield Place(title, protocol, published_organs(dataset) or list(every), measured)


def comparison_tables(shown: Iterator[Place] | Sequence[Place]) -> list[Table]:
    """Make a table of each place, and one of tests where methods share runs."""
    tables = []
    for place in shown:
        table = _comparison(place)
        on_same: dict[str, list[Summary]] = {}
        for summary in place.summaries:
            on_same.setdefault(summary.scans, []).append(summary)
        if len(on_same) > 1:
            who = (f"{scans}: {', '.join(method_name(one.run) for one in same)}" for scans, same in on_same.items())
            table.notes.append(f"NOT THE SAME SCANS, lines cannot be compared. Hash of the scans {'; '.join(who)}.")
        tables.append(table)
        tests = [row for same in on_same.values() for row in _tests(same)]
        if tests:
            header = ["higher", "than", "runs", "difference", "p"]
            tables.append(Table(f"{place.title}: tests", header, tests, [_TEST_NOTE]))
    return tables


def label(run: Run) -> str:
    """Name a line of the tables: method and scale."""
    scale = ", ".join(scale_overlays(run))
    return f"{method_name(run)} ({scale})" if scale else method_name(run)


def table_place(table: str) -> str:
    """Name a paper's table or figure in print."""
    return table if table.startswith("figure") else f"table {table}"


def dataset_name(dataset: str) -> str:
    """Return a dataset's name in print."""
    return _DATASETS.get(dataset, dataset)


def _cases_csv(results: Sequence[Result]) -> str:
    """Write a CSV line per run, protocol, case and organ; undefined values are empty cells."""
    rows = [
        {column: getattr(result.run, column) for column in _RUN_COLUMNS} | row
        for result in results
        for row in result.cases
    ]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(dict.fromkeys(column for row in rows for column in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _comparison(place: Place) -> Table:
    """One line for each entry, below it the paper's figures and the difference where one has them."""
    rows: list[list[str]] = []
    unpublished: list[str] = []
    partial: dict[str, list[str]] = {}
    for summary in place.summaries:
        name, of_paper = method_name(summary.run), is_paper_configuration(summary.run)
        cells = [str(summary.scores.get(organ, MISSING)) if organ in summary.organs else NONE for organ in place.organs]
        over_runs = summary.over_runs
        spread = NONE if over_runs is None or over_runs.std is None else f"{over_runs.std:.2f}"
        runs = f"{len(summary.expected) - len(summary.absent)} of {len(summary.expected)}"
        rows.append([name, *cells, str(summary.mean or MISSING), spread, runs])
        figures = published(summary.run, place.protocol) if of_paper else None  # of another scale it would say nothing
        if figures is not None:
            lines = [f"  {figures.paper}'s paper, {table_place(figures.table)}"], ["  difference"]
            for organ in [*place.organs, "mean"]:
                ours = summary.mean if organ == "mean" else summary.scores.get(organ)
                theirs = figures.dice.get(organ)
                lines[0].append(NONE if theirs is None else str(Score(theirs, figures.std.get(organ))))
                known = MISSING if ours is None or theirs is None else f"{ours.mean - theirs:+.2f}"
                lines[1].append(NONE if theirs is None else known)
            rows += [[*line, "", ""] for line in lines]
        elif of_paper and not summary.run.untrained:
            unpublished.append(name)
        if summary.missing:
            partial.setdefault(", ".join(summary.missing), []).append(name)
    notes = []
    for missing, names in partial.items():
        who = "all lines" if len(names) == len(place.summaries) else "; ".join(names)
        notes.append(f"PARTIAL, {MISSING} {missing}: {who}.")
    if unpublished:
        notes.append(f"No paper has figures for: {'; '.join(unpublished)}.")
    if any(row[0].startswith(" ") for row in rows):
        notes.append(_DIFFERENCE_NOTE)
    header = ["", *place.organs, "mean", "± over runs", "runs"]
    return Table(f"{place.title}: Dice, percent", header, rows, notes)


def _tests(summaries: Sequence[Summary]) -> Iterator[list[str]]:
    """Test the best method against the others."""
    trained = [(summary.over_runs, summary) for summary in summaries if not summary.run.untrained]
    ranked = sorted(((mean.mean, one) for mean, one in trained if mean), key=lambda pair: pair[0], reverse=True)
    for _, other in ranked[1:]:
        best = ranked[0][1]
        pairs, points, p = compare(best, other)
        if best.organs == other.organs and pairs > 1:
            yield [method_name(best.run), method_name(other.run), str(pairs), f"{points:+.2f}", f"{p:.4f}"]
