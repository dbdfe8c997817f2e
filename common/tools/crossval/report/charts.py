"""Charts of the page as inline SVG, drawn by matplotlib; lines and letters take the colour of the page's text."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

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
_BOX: Any = {
    **{"orientation": "horizontal", "widths": 0.6, "whis": (0, 100), "showcaps": False, "showfliers": False},
    **{"manage_ticks": False, "boxprops": {"color": COLOURS[0]}, "whiskerprops": {"color": COLOURS[0]}},
    "medianprops": {"color": COLOURS[1], "linewidth": 2.5},
}


def box_plot(boxes: Sequence[tuple[str, Sequence[float | None]]], title: str) -> str:
    """Draw one horizontal box per line: quartiles and median from three values on, and every value as a dot.

    Args:
        boxes: lines from top to bottom: label and Dice in percent, None where it is undefined.
        title: what is shown, for screen readers.

    Returns:
        An ``svg`` element.
    """
    with rc_context(_LOOK):
        figure = Figure(figsize=(7.5, 0.6 + 0.32 * len(boxes)), layout="constrained")
        axes = figure.subplots()
        labels = []
        for place, (label, values) in enumerate(boxes):
            known = [value for value in values if value is not None]
            if len(known) >= 3:
                axes.boxplot(known, positions=[place], **_BOX)
            axes.scatter(known, [place] * len(known), s=9, color=_GREY, zorder=3, linewidths=0)
            counts = [f"n = {len(known)}"] if known else []
            counts += [f"{len(values) - len(known)} n/a"] if len(values) > len(known) else []
            labels.append(f"{label}  {', '.join(counts) or 'not scored'}")
        axes.set_yticks(range(len(boxes)), labels, parse_math=False)
        axes.set(xlim=(-2, 102), ylim=(len(boxes) - 0.5, -0.5), xlabel="Dice, percent")
        return _svg(figure, axes, title)


def curves(lines: Sequence[tuple[str, Sequence[float], Sequence[float]]], title: str) -> str:
    """Draw lines over a common axis; values that are not finite are left out and counted in the legend.

    Args:
        lines: label, iterations and values of each, in the order of the legend.
        title: what is shown, for screen readers.

    Returns:
        An ``svg`` element.
    """
    with rc_context(_LOOK):
        figure = Figure(figsize=(8.5, max(3.0, 0.6 + 0.21 * len(lines))), layout="constrained")
        axes = figure.subplots()
        for number, (label, x, y) in enumerate(lines):
            known = np.isfinite(y)
            lost = len(known) - known.sum()
            axes.plot(
                np.asarray(x)[known],
                np.asarray(y)[known],
                _STYLES[number // len(COLOURS) % len(_STYLES)],
                color=COLOURS[number % len(COLOURS)],
                marker="o" if known.sum() == 1 else "",
                label=f"{label} ({lost} not finite)" if lost else label,
            )
        axes.set_xlabel("iteration")
        for text in figure.legend(loc="outside right upper", frameon=False).get_texts():
            text.set_parse_math(False)
        return _svg(figure, axes, title)


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
