"""Tables in all forms, from whole and from unfinished folders."""

import csv
import io
import json
import re

import pytest

from common.errors import InputError
from common.tools.crossval.comparison import format_results
from common.tools.crossval.table import Table, render


def cells(line):
    return re.split(r"\s{2,}", line.strip())


@pytest.fixture
def finished(tmp_path, write_run):
    """ADNet on five folds: its paper's left kidney and liver, right kidney 3 points lower, spleen 5 higher."""
    for fold in range(5):
        dice = {"left kidney": [0.7528], "right kidney": [0.8028], "spleen": [0.8092], "liver": [0.8081]}
        write_run(dice, fold, protocols=["ep1"], variant="chaos_t2+paper")
    return tmp_path


def test_paper_and_difference_stand_beside_ours(finished):
    lines = format_results(finished).splitlines()
    assert lines[0] == "CHAOS T2-SPIR, setting 1, EP1 (paper): Dice, percent"
    assert cells(lines[2]) == ["left kidney", "right kidney", "spleen", "liver", "mean", "± over runs", "runs"]
    ours, paper, difference = (cells(line) for line in lines[3:6])
    assert ours[0] == "ADNet"
    assert ours[1] == "75.28 ± 0.00"
    assert ours[-1] == "5 of 5"
    assert paper[:3] == ["ADNet's paper, table 1", "75.28 ± 14.80", "83.28 ± 13.36"]
    assert difference[:6] == ["difference", "+0.00", "-3.00", "+5.00", "+0.00", "+0.50"]
    assert "PARTIAL" not in "\n".join(lines)


def test_a_killed_cross_validation_gives_a_partial_table_that_says_so(finished):
    for fold in (1, 4):
        (finished / f"adnet-chaos_t2+paper-chaos_t2-s1-f{fold}-r0.json").unlink()
    (finished / "adnet-chaos_t2+paper-chaos_t2-s1-f1-r0.812.partial").write_text('{"run"')
    text = format_results(finished)
    assert "3 of 5" in text
    assert "PARTIAL, missing f1-r0, f4-r0: all lines." in text
    assert "75.28 ± 0.00" in text
    assert "+5.00" in text


def test_missing_is_no_zero(tmp_path, write_run):
    write_run({"left kidney": [0.5], "right kidney": [0.7]}, setting=2, group="kidneys", bundle="ssl_alpnet")
    text = format_results(tmp_path)
    ours, paper, difference = (cells(line) for line in text.splitlines()[3:6])
    assert ours == ["SSL-ALPNet", "50.00", "70.00", "missing", "missing", "missing", "–", "1 of 10"]
    assert paper[1:] == ["73.63", "78.39", "67.02", "73.05", "73.02"]
    assert difference[3:] == ["missing", "missing", "missing"]
    assert not re.search(r"\b0\.00\b", text)


def test_a_part_of_the_organs_is_not_compared_with_the_mean_of_all(tmp_path, write_run):
    write_run({"liver": [0.8]})
    write_run({"liver": [0.8]}, bundle="lsnet")
    lines = format_results(tmp_path).splitlines()
    assert cells(lines[3])[1:6] == ["missing", "missing", "missing", "80.00", "missing"]
    assert cells(lines[5])[4:6] == ["-0.81", "missing"]
    assert cells(lines[6])[1:6] == ["–", "–", "–", "80.00", "80.00"]  # in no paper on these scans
    assert "f0-r0 spleen" in "\n".join(lines)


def test_organs_that_nobody_evaluated_are_dashes(tmp_path, write_run):
    write_run({"liver": [0.5], "left kidney": [0.7]}, dataset="phantom")
    write_run({"left kidney": [0.8]}, dataset="phantom", bundle="lsnet")
    lines = [cells(line) for line in format_results(tmp_path).splitlines()[3:5]]
    assert lines == [["ADNet", "50.00", "70.00", "60.00 ± 10.00", "–", "1 of 5"]] + [
        ["LSNet", "–", "80.00", "80.00", "–", "1 of 5"]
    ]


def test_tests_between_methods_of_one_scale(tmp_path, write_run, same):
    for fold in range(5):
        write_run(same(0.7 + fold / 100), fold, variant="quick")
        write_run(same(0.6 + fold / 200), fold, bundle="crapnet", variant="quick")
        write_run(same(0.9), fold, bundle="ssl_alpnet")  # of another scale
        write_run(
            same(0.1), fold, variant="quick+untrained", configs=["train", "quick"], overrides={"checkpoint": None}
        )
    text = format_results(tmp_path)
    table = text[text.index("EP1 (quick): tests") :]
    assert cells(table.splitlines()[3]) == [
        "ADNet", "CRAPNet", "5", "+11.00", "0.0312"
    ]  # fmt: skip
    assert "untrained" not in table
    assert "SSL-ALPNet" not in table


def test_cases_as_csv(tmp_path, write_run, same):
    write_run({"liver": [0.5, None]}, 2, 1)
    rows = list(csv.DictReader(io.StringIO(format_results(tmp_path, "csv"))))
    assert [row["dice"] for row in rows] == ["0.5", ""]
    assert rows[0] == {
        "bundle": "adnet", "variant": "", "dataset": "chaos_t2", "setting": "1", "group": "", "fold": "2",
        "repeat": "1", "seed": "2022", "protocol": "ep1", "case": "f2_0", "organ": "liver", "dice": "0.5",
    }  # fmt: skip


def test_latex_escapes_and_negative_numbers():
    rows = [["c%d", "-1.50"], ["  below", "2 ± 1"], ["é–", "-"]]
    latex = render([Table("50% of R&D_1 #2", ["a_b", "±"], rows, ["p < 0.05 & more"])], "latex")
    lines = [" ".join(line.split()) for line in latex.splitlines()]
    assert r"\caption{50\% of R\&D\_1 \#2}" in lines
    assert lines[lines.index(r"\toprule") + 1] == r"a\_b & ± \\"
    assert {r"c\%d & $-1.50$ \\", r"below & 2 ± 1 \\", r"é– & - \\", r"p $<$ 0.05 \& more"} <= set(lines)
    assert latex.count("{") == latex.count("}")


def test_latex_of_results(finished):
    latex = " ".join(format_results(finished, "latex").split())
    assert r"ADNet & 75.28 ± 0.00" in latex
    assert r"ADNet's paper, table 1 & 75.28 ± 14.80" in latex
    assert r"difference & +0.00 & $-3.00$ & +5.00" in latex
    assert not re.search(r"(?<!\\)[%#_]", latex)


def test_markdown_escapes():
    markdown = render([Table("a|b", ["x", "y"], [["*n*", "<i>|"]], ["see `x`"])], "markdown").splitlines()
    assert [markdown[0], markdown[-1]] == [r"### a\|b", r"see \`x\`"]
    assert [cell.strip() for cell in markdown[4].split(" | ")] == [r"| \*n\*", r"\<i>\| |"]


def test_text_lines_up():
    text = render([Table("title", ["", "liver"], [["ADNet", "70.00"], ["  difference", "-1.00"]])], "text")
    assert text.splitlines()[2:] == ["                liver", "ADNet           70.00", "  difference    -1.00"]


def test_unknown_form(finished):
    with pytest.raises(InputError, match="format is text, markdown, latex or csv, got html"):
        format_results(finished, "html")
    assert render([], "text") == "\n"


def test_rows_of_other_shapes_keep_their_columns(tmp_path, write_run, same):
    path = write_run(same(0.5))
    content = json.loads(path.read_text())
    content["cases"][0]["hd95_mm"] = 3.5
    path.write_text(json.dumps(content))
    rows = list(csv.DictReader(io.StringIO(format_results(tmp_path, "csv"))))
    assert [row["hd95_mm"] for row in rows] == ["3.5", "", "", ""]


def test_lines_of_other_scans_are_named_and_not_tested_against_each_other(tmp_path, write_run, same):
    for bundle, scans in (("adnet", "a" * 64), ("ssl_alpnet", "a" * 64), ("crapnet", "b" * 64)):
        for fold in range(5):
            write_run(same(0.5 + fold / 100 + len(bundle) / 100), fold, bundle=bundle, manifest={"data_sha256": scans})
    text = format_results(tmp_path)
    assert "NOT THE SAME SCANS, lines cannot be compared. Hash of the scans aaaaaaaa: ADNet" in " ".join(text.split())
    tests = text[text.index("tests") :]
    assert "SSL-ALPNet" in tests and "CRAPNet" not in tests
