"""What to expect at a glance: every method of a queue from every start, mean over folds, as one table and one chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from ...errors import InputError
from ...files.writing import whole_file
from .comparison import NONE
from .published import method_name
from .queue import Entry
from .results import Result, by_entry
from .statistics import Summary, summarise_entry
from .table import Table

PROTOCOLS = ("ep1", "ep2")
_COLOURS = ("#2f81d6", "#c4622d", "#2e9b5b", "#a85cc0")  # told apart by the colour-blind, on white and on black
_LOOK: Any = {"svg.fonttype": "none", "svg.hashsalt": "overview", "axes.spines.top": False, "axes.spines.right": False}
_NOTE = (
    "Mean Dice in percent over organs, and ± its population standard deviation over the folds. EP1: the organ's first "
    "and last slice in the new scan are known; EP2: nothing is. Brackets say where folds are missing."
)


class Overview:
    """The results of a queue, by method and start.

    Args:
        results: of a folder, those of other settings included.
        entries: of the queue, which says the order of methods and starts.
        dataset: name.

    Raises:
        InputError: none of the results is of the queue.
    """

    def __init__(self, results: Sequence[Result], entries: Sequence[Entry], dataset: str) -> None:
        found = {_key(one[0].run.bundle, one[0].run.configs[1:], one[0].run.setting, one[0].run.untrained): one
                 for one in by_entry(results) if one[0].run.dataset == dataset}  # fmt: skip
        self.starts = list(dict.fromkeys(entry.start for entry in entries))
        self.lines: dict[str, dict[str, list[Result]]] = {}
        for entry in entries:
            key = _key(entry.bundle.name, [*entry.config, dataset], entry.setting, entry.untrained)
            if key in found:
                run = found[key][0].run
                name = method_name(run).removeprefix("untrained ")
                name += f", setting {run.setting}" if run.setting != 1 else ""
                self.lines.setdefault(name, {})[entry.start] = found[key]
        if not self.lines:
            raise InputError(f"no result of {dataset} is of this queue; run fewshot crossval --queue first")

    def table(self, title: str) -> Table:
        """Make the table: a line for each method, two columns for each start."""
        header = ["", *(f"{start}, {protocol.upper()}" for start in self.starts for protocol in PROTOCOLS)]
        rows = [
            [name, *(self._cell(name, start, p) for start in self.starts for p in PROTOCOLS)] for name in self.lines
        ]
        return Table(title, header, rows, [_NOTE])

    def chart(self, path: Path) -> None:
        """Draw the table: a dot for each start, with a line of the spread over the folds; written as SVG."""
        names = list(self.lines)
        with rc_context(_LOOK):
            figure = Figure(figsize=(9, 0.9 + 0.42 * len(names)), layout="constrained")
            for axes, protocol in zip(figure.subplots(1, len(PROTOCOLS), sharey=True), PROTOCOLS, strict=True):
                for number, start in enumerate(self.starts):
                    found = [(place, s.over_runs) for place, name in enumerate(names)
                             if (s := self._summary(name, start, protocol)) is not None]  # fmt: skip
                    shift = 0.22 * (number - (len(self.starts) - 1) / 2)
                    known = [(place + shift, one) for place, one in found if one is not None]
                    axes.errorbar([one.mean for _, one in known], [place for place, _ in known],
                                  xerr=[one.std or 0 for _, one in known], fmt="o", markersize=5, elinewidth=1,
                                  color=_COLOURS[number % len(_COLOURS)], label=start)  # fmt: skip
                axes.set(xlim=(0, 100), title=protocol.upper(), xlabel="mean Dice, percent")
                axes.grid(axis="x", alpha=0.3)
            axes.set_yticks(range(len(names)), names)
            axes.set_ylim(len(names) - 0.5, -0.5)
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
            with whole_file(path) as draft:
                figure.savefig(draft, format="svg", metadata={"Date": None})

    def _summary(self, name: str, start: str, protocol: str) -> Summary | None:
        results = self.lines[name].get(start)
        return None if results is None else summarise_entry(results, protocol)

    def _cell(self, name: str, start: str, protocol: str) -> str:
        summary = self._summary(name, start, protocol)
        if summary is None or summary.over_runs is None:
            return NONE
        mean, done, all_ = summary.over_runs, len(summary.expected) - len(summary.absent), len(summary.expected)
        text = f"{mean.mean:.1f}" if mean.std is None else f"{mean.mean:.1f} ± {mean.std:.1f}"
        return text if done == all_ else f"{text} ({done} of {all_})"


def _key(bundle: str, overlays: Sequence[str], setting: int, untrained: bool) -> tuple[str, frozenset[str], int, bool]:
    return bundle, frozenset(overlays), setting, untrained
