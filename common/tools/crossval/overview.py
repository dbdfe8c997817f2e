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
from .statistics import Score, Summary, summarise_entry
from .table import Table

PROTOCOLS = ("ep1", "ep2")
_SHOWN = (*PROTOCOLS, "ep2k5")
_COLOURS = ("#2f81d6", "#c4622d", "#2e9b5b", "#a85cc0")  # told apart by the colour-blind, on white and on black
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

    Raises:
        InputError: none of the results is of the queue.
    """

    def __init__(self, results: Sequence[Result], entries: Sequence[Entry], dataset: str) -> None:
        found = {_key(one[0].run.bundle, one[0].run.configs[1:], one[0].run.setting, one[0].run.untrained): one
                 for one in by_entry(results) if one[0].run.dataset == dataset}  # fmt: skip
        self.lines: dict[str, dict[str, list[Result]]] = {}
        for entry in entries:
            key = _key(entry.bundle.name, [*entry.config, dataset], entry.setting, entry.untrained)
            if key in found:
                run = found[key][0].run
                name = method_name(run).removeprefix("untrained ")
                name += f", setting {run.setting}" if run.setting != 1 else ""
                self.lines.setdefault(name, {})[entry.start] = found[key]
        done = {start for line in self.lines.values() for start in line}
        self.starts = [start for start in dict.fromkeys(entry.start for entry in entries) if start in done]
        if not self.lines:
            raise InputError(f"no result of {dataset} is of this queue; run fewshot crossval --queue first")

    def table(self, title: str) -> Table:
        """Make the table: a line for each method, a column for each start and protocol that was measured."""
        places = [
            (start, p) for start in self.starts for p in _SHOWN if any(self._score(n, start, p) for n in self.lines)
        ]
        header = ["", *(f"{start}, {protocol.upper()}" for start, protocol in places)]
        return Table(
            title, header, [[name, *(self._cell(name, *place) for place in places)] for name in self.lines], [_NOTE]
        )

    def chart(self, path: Path) -> None:
        """Draw the table: a dot for each start, with a line of the spread over the folds; written as SVG."""
        names = list(self.lines)
        shown = [p for p in _SHOWN if any(self._score(name, start, p) for name in names for start in self.starts)]
        with rc_context(_LOOK):
            figure = Figure(figsize=(2 + 3.5 * len(shown), 0.9 + 0.42 * len(names)), layout="constrained")
            for axes, protocol in zip(
                figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True
            ):
                for number, start in enumerate(self.starts):
                    shift = 0.22 * (number - (len(self.starts) - 1) / 2)
                    found = ((place + shift, self._score(name, start, protocol)) for place, name in enumerate(names))
                    known = [(place, score) for place, score in found if score is not None]
                    axes.errorbar(
                        [score.mean for _, score in known],
                        [place for place, _ in known],
                        xerr=[score.std or 0 for _, score in known],
                        fmt="o",
                        markersize=5,
                        elinewidth=1,
                        color=_COLOURS[number % len(_COLOURS)],
                        label=start,
                    )
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

    def _score(self, name: str, start: str, protocol: str) -> Score | None:
        summary = self._summary(name, start, protocol)
        return None if summary is None else summary.over_runs

    def _cell(self, name: str, start: str, protocol: str) -> str:
        summary, score = self._summary(name, start, protocol), self._score(name, start, protocol)
        if summary is None or score is None:
            return NONE
        done, expected = len(summary.expected) - len(summary.absent), len(summary.expected)
        text = f"{score.mean:.1f}" if score.std is None else f"{score.mean:.1f} ± {score.std:.1f}"
        return text if done == expected else f"{text} ({done} of {expected})"


def _key(bundle: str, overlays: Sequence[str], setting: int, untrained: bool) -> tuple[str, frozenset[str], int, bool]:
    return bundle, frozenset(overlays), setting, untrained
