"""Our results beside the papers': per-organ tables, tests between methods, and the cases behind them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from .published import Figures, is_paper_configuration, method_name, published, published_organs, scale_overlays
from .results import Result, by_entry, read_results
from .runs import Run
from .statistics import Score, Summary, entry_organs, summarise_entry, wilcoxon
from .table import Table, render

MISSING = "missing"
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


def format_results(folder: Path, form: str = "text") -> str:
    """Write the tables of a folder of result files, or its cases.

    Args:
        folder: of ``fewshot crossval``.
        form: ``text``, ``markdown``, ``latex``, or ``csv`` for the cases of all runs.

    Raises:
        InputError: unknown form, or the folder cannot be read.
    """
    results = read_results(folder)
    return cases_csv(results) if form == "csv" else render(comparison_tables(results), form)


def cases_csv(results: Sequence[Result]) -> str:
    """Write a CSV line per run, protocol, case and organ; undefined values are empty cells."""
    columns = list(dict.fromkeys(column for result in results for row in result.cases for column in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*_RUN_COLUMNS, *columns], lineterminator="\n")
    writer.writeheader()
    for result in results:
        run = {column: getattr(result.run, column) for column in _RUN_COLUMNS}
        writer.writerows({**run, **row} for row in result.cases)
    return stream.getvalue()


def comparison_tables(results: Sequence[Result]) -> list[Table]:
    """Make a table for each dataset, setting, scale and protocol, and one of tests where methods share runs."""
    tables = []
    for place in places(results):
        table = _comparison(f"{place.title}: Dice, percent", place.summaries, place.organs, place.protocol)
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


@dataclass(frozen=True)
class Place:
    """What shares a table: the entries of one dataset, setting, scale and protocol."""

    title: str
    protocol: str
    organs: list[str]
    entries: list[list[Result]]

    @property
    def summaries(self) -> list[Summary]:
        """Those of the entries that measured something."""
        summaries = (summarise_entry(entry, self.protocol) for entry in self.entries)
        return [summary for summary in summaries if summary.scores]


def places(results: Sequence[Result]) -> Iterator[Place]:
    """Go through the tables of results in the order in which they are shown."""
    found: dict[tuple[str, int, tuple[str, ...]], list[list[Result]]] = {}
    for entry in sorted(by_entry(results).values(), key=lambda entry: entry[0].run.untrained):
        run = entry[0].run
        scale = tuple(name for name in scale_overlays(run) if name != run.dataset)
        found.setdefault((run.dataset, run.setting, scale), []).append(entry)
    for (dataset, setting, scale), entries in sorted(found.items(), key=lambda item: item[0]):
        rows = [row for entry in entries for result in entry for row in result.cases]
        organs = published_organs(dataset) or list(
            dict.fromkeys(organ for entry in entries for organ in entry_organs(entry))
        )
        for protocol in sorted({row["protocol"] for row in rows}):
            title = f"{dataset_name(dataset)}, setting {setting}, {protocol.upper()}"
            title += f" ({', '.join(scale)})" if scale else ""
            yield Place(title, protocol, organs, entries)


def label(run: Run) -> str:
    """Name a line of the tables: method and scale."""
    scale = ", ".join(scale_overlays(run))
    return f"{method_name(run)} ({scale})" if scale else method_name(run)


def dataset_name(dataset: str) -> str:
    """Return a dataset's name in print."""
    return _DATASETS.get(dataset, dataset)


def percent(value: Score | None) -> str:
    """Write a score as the papers do; without deviation where there is one value only."""
    if value is None:
        return MISSING
    return f"{value.mean:.2f}" if value.std is None else f"{value.mean:.2f} ± {value.std:.2f}"


def _comparison(title: str, summaries: Sequence[Summary], organs: Sequence[str], protocol: str) -> Table:
    rows, notes = [], []
    unpublished: list[str] = []
    partial: dict[str, list[str]] = {}
    for summary in summaries:
        name, of_paper = method_name(summary.run), is_paper_configuration(summary.run)
        figures = published(summary.run, protocol) if of_paper else None  # of another scale it would say nothing
        cells = [percent(summary.scores.get(organ)) if organ in summary.organs else "–" for organ in organs]
        over_runs = summary.over_runs
        spread = "–" if over_runs is None or over_runs.std is None else f"{over_runs.std:.2f}"
        runs = f"{summary.expected - len(summary.absent)} of {summary.expected}"
        rows.append([name, *cells, percent(summary.mean), spread, runs])
        if figures is not None:
            rows += _beside(summary, figures, organs)
        elif of_paper and not summary.run.untrained:
            unpublished.append(name)
        if summary.missing:
            partial.setdefault(", ".join(summary.missing), []).append(name)
    for missing, names in partial.items():
        who = "all lines" if len(names) == len(summaries) else "; ".join(names)
        notes.append(f"PARTIAL, {MISSING} {missing}: {who}.")
    if unpublished:
        notes.append(f"No paper has figures for: {'; '.join(unpublished)}.")
    if any(row[0].startswith(" ") for row in rows):
        notes.append(_DIFFERENCE_NOTE)
    return Table(title, ["", *organs, "mean", "± over runs", "runs"], rows, notes)


def _beside(summary: Summary, figures: Figures, organs: Sequence[str]) -> list[list[str]]:
    """Lines with the paper's figures and the difference of ours."""
    paper, difference = [], []
    for organ in [*organs, "mean"]:
        ours = summary.mean if organ == "mean" else summary.scores.get(organ)
        theirs = figures.dice.get(organ)
        paper.append("–" if theirs is None else percent(Score(theirs, figures.std.get(organ))))
        if theirs is None:
            difference.append("–")
        elif ours is None:
            difference.append(MISSING)
        else:
            difference.append(f"{ours.mean - theirs:+.2f}")
    where = figures.table if figures.table.startswith("figure") else f"table {figures.table}"
    place = f"  {figures.paper}'s paper, {where}"
    return [[place, *paper, "", ""], ["  difference", *difference, "", ""]]


def _tests(summaries: Sequence[Summary]) -> list[list[str]]:
    """Test the best method against the others."""
    rows = []
    trained = [summary for summary in summaries if summary.runs and not summary.run.untrained]
    ranked = sorted(trained, key=lambda summary: fmean(summary.runs.values()), reverse=True)
    for other in ranked[1:]:
        best = ranked[0]
        shared = sorted(set(best.runs) & set(other.runs))
        if best.organs == other.organs and len(shared) > 1:
            points = fmean(best.runs[key] - other.runs[key] for key in shared)
            pairs, p = wilcoxon(best, other)
            names = [method_name(one.run) for one in (best, other)]
            rows.append([*names, str(pairs), f"{points:+.2f}", f"{p:.4f}"])
    return rows
