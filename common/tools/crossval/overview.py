"""What to expect at a glance: every method of a queue from every start, mean over folds, as one table and one chart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from ...files.writing import whole_file
from .comparison import NONE
from .published import method_name
from .queue import Entry
from .report.charts import COLOURS
from .results import Result, by_entry
from .statistics import Summary, summarise_entry
from .table import Table

PROTOCOLS = ("ep1", "ep2")
_SHOWN = (*PROTOCOLS, "ep2k5")
_LOOK: Any = {"svg.fonttype": "none", "svg.hashsalt": "overview", "axes.spines.top": False, "axes.spines.right": False}
_NOTE = (
    "Mean Dice in percent over organs, and ± its population standard deviation over the folds. EP1: the organ's first "
    "and last slice in the new scan are known; EP2: nothing is; EP2K5: the same from five drawn slices. "
    "Brackets say where folds are missing."
)


class Overview:
    """The results of a queue, by method and start.

    Args:
        results: of a folder, those of other settings included.
        entries: of the queue, which says the order of methods and starts.
        dataset: name.

    Attributes:
        summaries: by method, start and protocol; empty where none of the results is of the queue and the dataset.
    """

    def __init__(self, results: Sequence[Result], entries: Sequence[Entry], dataset: str) -> None:
        found = {_key(one[0].run.bundle, one[0].run.configs[1:], one[0].run.setting, one[0].run.untrained): one
                 for one in by_entry(results) if one[0].run.dataset == dataset}  # fmt: skip
        measured: dict[tuple[str, str, str], Summary] = {}
        for entry in entries:
            key = _key(entry.bundle.name, [*entry.config, dataset], entry.setting, entry.untrained)
            if key in found:
                run = found[key][0].run
                name = method_name(run).removeprefix("untrained ")
                name += f", setting {run.setting}" if run.setting != 1 else ""
                measured |= {(name, entry.start, p): summarise_entry(found[key], p) for p in _SHOWN}
        self.summaries = {place: summary for place, summary in measured.items() if summary.over_runs is not None}
        self.names = list(dict.fromkeys(name for name, _, _ in measured))
        starts = {start for _, start, _ in measured}
        self.starts = [start for start in dict.fromkeys(entry.start for entry in entries) if start in starts]

    def table(self, title: str) -> Table:
        """Make the table: a line for each method, a column for each start and protocol that was measured."""
        measured = {(start, protocol) for _, start, protocol in self.summaries}
        places = [place for place in product(self.starts, _SHOWN) if place in measured]
        header = ["", *(f"{start}, {protocol.upper()}" for start, protocol in places)]
        rows = [[name, *(_cell(self.summaries.get((name, *place))) for place in places)] for name in self.names]
        return Table(title, header, rows, [_NOTE])

    def chart(self, path: Path) -> None:
        """Draw the table: a dot for each start, with a line of the spread over the folds; written as SVG."""
        measured = {protocol for _, _, protocol in self.summaries}
        shown = [protocol for protocol in _SHOWN if protocol in measured]
        with rc_context(_LOOK):
            figure = Figure(figsize=(2 + 3.5 * len(shown), 0.9 + 0.42 * len(self.names)), layout="constrained")
            for axes, protocol in zip(
                figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True
            ):
                for number, start in enumerate(self.starts):
                    shift = 0.22 * (number - (len(self.starts) - 1) / 2)
                    found = (
                        (place, self.summaries.get((name, start, protocol))) for place, name in enumerate(self.names)
                    )
                    known = [(place + shift, one.over_runs) for place, one in found if one and one.over_runs]
                    axes.errorbar(
                        [score.mean for _, score in known],
                        [place for place, _ in known],
                        xerr=[score.std or 0 for _, score in known],
                        fmt="o",
                        markersize=5,
                        elinewidth=1,
                        color=COLOURS[number % len(COLOURS)],
                        label=start,
                    )
                axes.set(xlim=(0, 100), title=protocol.upper(), xlabel="mean Dice, percent")
                axes.grid(axis="x", alpha=0.3)
            axes.set_yticks(range(len(self.names)), self.names)
            axes.set_ylim(len(self.names) - 0.5, -0.5)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
            with whole_file(path) as draft:
                figure.savefig(draft, format="svg", metadata={"Date": None})


def _cell(summary: Summary | None) -> str:
    if summary is None or summary.over_runs is None:
        return NONE
    mean, std = summary.over_runs.mean, summary.over_runs.std
    done, expected = len(summary.expected) - len(summary.absent), len(summary.expected)
    text = f"{mean:.1f}" if std is None else f"{mean:.1f} ± {std:.1f}"
    return text if done == expected else f"{text} ({done} of {expected})"


def _key(bundle: str, overlays: Sequence[str], setting: int, untrained: bool) -> tuple[str, frozenset[str], int, bool]:
    return bundle, frozenset(overlays), setting, untrained
