"""Charts of the report: positions are values, and labels are text."""

import re
from xml.etree import ElementTree

import pytest

from common.tools.crossval.report.charts import box_plot, curves

SVG = "{http://www.w3.org/2000/svg}"


def parse(svg):
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def texts(root):
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def dots(root):
    """Where the dots of a chart stand along x, in percent of its axis, whose ticks are 0, 20, ... 100."""
    uses = [(use.get("href"), float(use.get("x"))) for use in root.iter(f"{SVG}use")]
    ticks = [x for href, x in uses if href == uses[0][0]]
    marker = uses[-1][0]
    return [100 * (x - ticks[0]) / (ticks[-1] - ticks[0]) for href, x in uses if href == marker]


def test_boxes_show_every_value():
    values = [10.0, 20.0, 40.0, 60.0, 90.0]
    root = parse(box_plot([("ADNet", values)], "Dice"))
    assert root.get("role") == "img" and root.get("aria-label") == "Dice"
    assert {"ADNet  n = 5", "Dice, percent"} <= set(texts(root))
    assert dots(root) == pytest.approx(values, abs=0.1)


def test_what_is_missing_is_said():
    shown = texts(parse(box_plot([("a", []), ("b", [None, None]), ("c", [0.0, None])], "Dice")))
    assert {"a  not scored", "b  2 n/a", "c  n = 1, 1 n/a"} <= set(shown)


def test_labels_are_text():
    """Neither markup nor mathematics."""
    svg = box_plot([("<b>& $x^2$", [1.0])], '"><script>')
    assert "<script>" not in svg and "<b>" not in svg
    assert "<b>& $x^2$  n = 1" in texts(parse(svg))
    assert "$a_1$" in texts(parse(curves([("$a_1$", [0, 1], [1, 2])], "Loss")))


def test_curves_leave_out_what_is_not_finite():
    lines = [("f0", [50, 100], [2.0, 1.0]), ("f1", [50, 100], [float("nan"), 2.0])]
    assert {"f0", "f1 (1 not finite)"} <= set(texts(parse(curves(lines, "Loss"))))
    assert "f0 (1 not finite)" in texts(parse(curves([("f0", [50], [float("inf")])], "Loss")))


def test_many_curves_differ():
    root = parse(curves([(str(number), [0, 1], [1, number]) for number in range(20)], "Loss"))
    styles = [path.get("style") for path in root.iter(f"{SVG}path") if "clip-path" in path.attrib]
    colours = {re.sub(r"stroke-dashoffset.*?;|stroke-width.*", "", style) for style in styles if "stroke:" in style}
    assert len(colours) >= 20


@pytest.mark.parametrize(
    "draw", [lambda: box_plot([("a", [1.0])], "one"), lambda: curves([("f0", [0, 1], [1, 2])], "two")]
)
def test_the_same_at_every_call_and_without_names_that_repeat(draw):
    svg = draw()
    assert svg == draw() and not re.search(r' id="(figure|axes|patch|text)_\d+"', svg)
