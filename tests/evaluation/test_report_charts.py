"""Charts of the report: positions are values."""

import math
import re
from xml.etree import ElementTree

from common.tools.crossval.report.charts import Box, Curve, box_plot, curves

SVG = "{http://www.w3.org/2000/svg}"


def parse(svg):
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def texts(root):
    return {element.text: float(element.get("x")) for element in root.iter(f"{SVG}text")}


def percent(root, x):
    """Turn a position back into Dice, by the ticks."""
    places = texts(root)
    return 100 * (float(x) - places["0"]) / (places["100"] - places["0"])


def of_class(root, name):
    return [element for element in root.iter() if element.get("class") == name]


def test_boxes_stand_at_their_quartiles_and_dots_at_their_values():
    values = [10.0, 20.0, 40.0, 60.0, 90.0]
    root = parse(box_plot([Box("ADNet", [(f"case {value}", value) for value in values])], "Dice"))
    (box,) = of_class(root, "box")
    assert math.isclose(percent(root, box.get("x")), 20, abs_tol=0.1)
    assert math.isclose(percent(root, float(box.get("x")) + float(box.get("width"))), 60, abs_tol=0.1)
    (median,) = of_class(root, "median")
    assert math.isclose(percent(root, re.match(r"M([\d.]+)", median.get("d"))[1]), 40, abs_tol=0.1)
    dots = of_class(root, "dot")
    assert [round(percent(root, dot.get("cx"))) for dot in dots] == values
    assert dots[0][0].text == "case 10.0: 10.0"
    assert root.get("role") == "img" and root.get("aria-label") == "Dice"


def test_what_is_missing_is_said_and_not_drawn():
    root = parse(box_plot([Box("a", []), Box("b", [], undefined=2), Box("c", [("x", 0.0)], undefined=1)], "Dice"))
    assert {"not scored", "2 n/a", "n = 1, 1 n/a"} <= set(texts(root))
    assert len(of_class(root, "dot")) == 1 and not of_class(root, "box")


def test_nothing_leaves_the_picture():
    label = "untrained ADNet, WIDE NAME OF A METHOD (chaos_t2, cpu)"
    for svg in (
        box_plot([Box(label, [("x", 0.0), ("y", 50.0), ("z", 100.0)], undefined=12)], "Dice"),
        curves([Curve(f"{label} {number}", [0, 1], [0, number]) for number in range(30)], "Loss"),
    ):
        root = parse(svg)
        width, height = float(root.get("width")), float(root.get("height"))
        for element in root.iter(f"{SVG}text"):
            x, length = float(element.get("x")), 7.0 * len(element.text)
            start = x - {"end": length, "middle": length / 2}.get(element.get("text-anchor"), 0)
            assert start >= 0 and start + length <= width and 0 < float(element.get("y")) <= height, element.text


def test_labels_are_escaped():
    svg = box_plot([Box("<b>&", [("<script>", 1.0)])], '"><script>')
    assert "<script>" not in svg and "<b>" not in svg
    parse(svg)


def test_curves_share_an_axis_and_leave_out_what_is_not_finite():
    root = parse(curves([Curve("f0", [50, 100], [2.0, 1.0]), Curve("f1", [50, 100], [float("nan"), 2.0])], "Loss"))
    first, second = root.iter(f"{SVG}polyline")
    (_, y), (x, _) = (tuple(map(float, point.split(","))) for point in first.get("points").split())
    assert second.get("points") == f"{x:.1f},{y:.1f}"
    assert first.get("class") != second.get("class")
    assert "f1 (1 not finite)" in texts(root)
    assert len(list(root.iter(f"{SVG}circle"))) == 1  # a line of one point would not be seen


def test_many_curves_differ():
    root = parse(curves([Curve(str(number), [0, 1], [1, number]) for number in range(20)], "Loss"))
    styles = [(line.get("class"), line.get("stroke-dasharray")) for line in root.iter(f"{SVG}polyline")]
    assert len(set(styles)) == 20


def test_no_finite_loss_at_all():
    root = parse(curves([Curve("f0", [50], [float("inf")])], "Loss"))
    assert "f0 (1 not finite)" in texts(root) and not list(root.iter(f"{SVG}polyline"))
