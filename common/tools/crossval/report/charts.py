"""Charts of the page as inline SVG, drawn by matplotlib; lines and letters take the colour of the page's text."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Seen on white and on black alike, at three to one at least.
COLOURS = ("#2f81d6", "#c4622d", "#2e9b5b", "#a85cc0", "#9a7d12", "#1b95a3", "#d64545", "#6f7783")
_GREY = "#808080"
_STYLES = ("-", "--", ":", "-.")
_LOOK: Any = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), _GREY),
    **{"svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False, "font.size": 9.5},
}


class Box(NamedTuple):
    """One line of a box plot: Dice in percent, and the number of cases without a value."""

    label: str
    values: Sequence[float]
    undefined: int = 0


class Curve(NamedTuple):
    """One line over iterations."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def box_plot(boxes: Sequence[Box], title: str) -> str:
    """Draw one horizontal box per line: quartiles and median from three values on, and every value as a dot.

    Args:
        boxes: lines from top to bottom.
        title: what is shown, for screen readers.

    Returns:
        An ``svg`` element.
    """
    with rc_context(_LOOK):
        figure = Figure(figsize=(7.5, 0.6 + 0.32 * len(boxes)), layout="constrained")
        axes = figure.subplots()
        for place, box in enumerate(boxes):
            if len(box.values) >= 3:
                look: Any = {f"{part}props": {"color": COLOURS[0]} for part in ("box", "whisker")}
                look["medianprops"] = {"color": COLOURS[1], "linewidth": 2.5}
                axes.boxplot(
                    box.values, orientation="horizontal", positions=[place], widths=0.6, whis=(0, 100), showcaps=False,
                    showfliers=False, manage_ticks=False, **look,
                )  # fmt: skip
            axes.scatter(box.values, [place] * len(box.values), s=9, color=_GREY, zorder=3, linewidths=0)
        axes.set_yticks(range(len(boxes)), [f"{box.label}  {_count(box)}" for box in boxes], parse_math=False)
        axes.set(xlim=(-2, 102), ylim=(len(boxes) - 0.5, -0.5), xlabel="Dice, percent")
        return _svg(figure, axes, title)


def curves(lines: Sequence[Curve], title: str) -> str:
    """Draw lines over a common axis; values that are not finite are left out and counted in the legend.

    Args:
        lines: in the order of the legend.
        title: what is shown, for screen readers.

    Returns:
        An ``svg`` element.
    """
    with rc_context(_LOOK):
        figure = Figure(figsize=(8.5, max(3.0, 0.6 + 0.21 * len(lines))), layout="constrained")
        axes = figure.subplots()
        for number, line in enumerate(lines):
            known = np.isfinite(line.y)
            lost = len(known) - known.sum()
            axes.plot(
                np.asarray(line.x)[known],
                np.asarray(line.y)[known],
                _STYLES[number // len(COLOURS) % len(_STYLES)],
                color=COLOURS[number % len(COLOURS)],
                marker="o" if known.sum() == 1 else "",
                label=f"{line.label} ({lost} not finite)" if lost else line.label,
            )
        axes.set_xlabel("iteration")
        for text in figure.legend(loc="outside right upper", frameon=False).get_texts():
            text.set_parse_math(False)
        return _svg(figure, axes, title)


def _count(box: Box) -> str:
    if not box.values:
        return f"{box.undefined} n/a" if box.undefined else "not scored"
    return f"n = {len(box.values)}" + (f", {box.undefined} n/a" if box.undefined else "")


def _svg(figure: Figure, axes: Axes, title: str) -> str:
    axes.grid(axis="x", color=_GREY, alpha=0.3)
    stream = io.StringIO()
    with rc_context({"svg.hashsalt": title}):  # the same names of parts at every call, others in every chart
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    drawn = stream.getvalue()[stream.getvalue().index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL).replace("xlink:href", "href")
    drawn = re.sub(r' id="[\w.]+_\d+"| xmlns(:\w+)?="[^"]*"', "", drawn)  # the groups' names occur in every chart
    drawn = drawn.replace(_GREY, "currentColor")  # light or dark, as the page
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
