"""Charts as inline SVG: colours come from the page's style, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

COLOURS = 8  # classes s0 to s7 of the page's style
_LETTER = 7.2  # width of a letter at 13 px, at most on average
_DASHES = ("", "6 3", "2 3", "8 3 2 3")


@dataclass(frozen=True)
class Box:
    """One line of a box plot: Dice in percent by name of the case, and the number of cases without a value."""

    label: str
    values: Sequence[tuple[str, float]]
    undefined: int = 0


@dataclass(frozen=True)
class Curve:
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
    counts = [_count(box) for box in boxes]
    left = 18 + _LETTER * max(len(box.label) for box in boxes)
    span, step, top = 340, 26, 8
    width, bottom = left + span + 18 + _LETTER * max(map(len, counts)), top + step * len(boxes)
    parts = []
    for tick in range(0, 101, 20):
        x = left + span * tick / 100
        parts.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick}</text>')
    for number, (box, count) in enumerate(zip(boxes, counts, strict=True)):
        y = top + step * (number + 0.5)
        parts.append(f'<text x="{left - 10:.1f}" y="{y + 4.5:.1f}" text-anchor="end">{escape(box.label)}</text>')
        parts += _box(box, left, span, y)
        parts.append(f'<text class="soft" x="{left + span + 12:.1f}" y="{y + 4.5:.1f}">{count}</text>')
    middle = left + span / 2
    parts.append(f'<text x="{middle:.1f}" y="{bottom + 36}" text-anchor="middle">Dice, percent</text>')
    return _svg(width, bottom + 44, title, parts)


def curves(lines: Sequence[Curve], title: str, x_title: str = "iteration") -> str:
    """Draw lines over a common axis; values that are not finite are left out and counted in the legend.

    Args:
        lines: in the order of the legend.
        title: what is shown, for screen readers.
        x_title: below the axis.

    Returns:
        An ``svg`` element.
    """
    cleaned = [_finite(line) for line in lines]
    xs, ys = ([value for line in cleaned for value in getattr(line, axis)] for axis in "xy")
    left, top, span, height = 56, 10, 460, max(200, 20 * len(lines))
    legend = 44 + _LETTER * max(len(line.label) for line in cleaned)
    parts: list[str] = []
    if xs:
        x_ticks, y_ticks = (MaxNLocator(5).tick_values(min(0, *values), max(values)) for values in (xs, ys))
        to_x, to_y = _scale(x_ticks, left, span), _scale(y_ticks, top + height, -height)
        for tick in y_ticks:
            parts.append(f'<path class="grid" d="M{left} {to_y(tick):.1f}H{left + span}"/>')
            parts.append(f'<text x="{left - 8}" y="{to_y(tick) + 4.5:.1f}" text-anchor="end">{tick:g}</text>')
        for tick in x_ticks:
            parts.append(f'<text x="{to_x(tick):.1f}" y="{top + height + 18}" text-anchor="middle">{tick:g}</text>')
        for number, line in enumerate(cleaned):
            points = " ".join(f"{to_x(x):.1f},{to_y(y):.1f}" for x, y in zip(line.x, line.y, strict=True))
            parts.append(f'<polyline class="line s{number % COLOURS}"{_dash(number)} points="{points}"/>')
            if len(line.x) == 1:
                parts.append(f'<circle class="dot s{number % COLOURS}" r="3" {_at(to_x(line.x[0]), to_y(line.y[0]))}/>')
    for number, line in enumerate(cleaned):
        x, y = left + span + 14, top + 12 + 20 * number
        parts.append(f'<path class="line s{number % COLOURS}"{_dash(number)} d="M{x} {y}h22"/>')
        parts.append(f'<text x="{x + 28}" y="{y + 4.5}">{escape(line.label)}</text>')
    parts.append(f'<text x="{left + span / 2}" y="{top + height + 38}" text-anchor="middle">{escape(x_title)}</text>')
    return _svg(left + span + legend, top + height + 46, title, parts)


def _box(box: Box, left: float, span: float, y: float) -> list[str]:
    values = [value for _, value in box.values]
    parts = []
    if len(values) >= 3:
        low, middle, high = (left + span * quartile / 100 for quartile in np.percentile(values, [25, 50, 75]))
        ends = left + span * min(values) / 100, left + span * max(values) / 100
        parts = [
            f'<path class="whisker" d="M{ends[0]:.1f} {y}H{low:.1f}M{high:.1f} {y}H{ends[1]:.1f}"/>',
            f'<rect class="box" x="{low:.1f}" y="{y - 8}" width="{high - low:.1f}" height="16"/>',
            f'<path class="median" d="M{middle:.1f} {y - 8}v16"/>',
        ]
    for number, (name, value) in enumerate(box.values):
        offset = (-4, 0, 4)[number % 3] if len(values) >= 3 else 0
        place = _at(left + span * value / 100, y + offset)
        parts.append(f'<circle class="dot" r="2.6" {place}><title>{escape(name)}: {value:.1f}</title></circle>')
    return parts


def _count(box: Box) -> str:
    if not box.values:
        return f"{box.undefined} n/a" if box.undefined else "not scored"
    return f"n = {len(box.values)}" + (f", {box.undefined} n/a" if box.undefined else "")


def _finite(line: Curve) -> Curve:
    kept = [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
    lost = len(line.y) - len(kept)
    label = f"{line.label} ({lost} not finite)" if lost else line.label
    return Curve(label, [x for x, _ in kept], [y for _, y in kept])


def _scale(ticks: Sequence[float], start: float, length: float) -> Callable[[float], float]:
    low, high = ticks[0], ticks[-1]
    return lambda value: start + length * (value - low) / (high - low)


def _dash(number: int) -> str:
    dash = _DASHES[number // COLOURS % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""


def _at(x: float, y: float) -> str:
    return f'cx="{x:.1f}" cy="{y:.1f}"'


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return f'<svg role="img" aria-label="{escape(title)}" {size}>{"".join(parts)}</svg>'
