"""Means, deviations and tests against values worked out by hand."""

import json

import pytest

from common.tools.crossval.published import all_figures
from common.tools.crossval.results import read_results
from common.tools.crossval.statistics import compare, is_part, score, summarise_entry


def test_mean_over_cases_then_runs_then_organs(tmp_path, write_run):
    write_run({"left kidney": [0.5, 0.7], "right kidney": [0.8], "spleen": [0.2], "liver": [0.9]}, fold=0)
    write_run({"left kidney": [0.9], "right kidney": [0.6], "spleen": [0.4], "liver": [0.7]}, fold=1)
    summary = summarise_entry(read_results(tmp_path), "ep1")
    # left kidney: runs 60 and 90, although three cases lie behind them (their plain mean is 70)
    assert summary.scores["left kidney"].mean == pytest.approx(75)
    assert summary.scores["left kidney"].std == pytest.approx(15)
    assert summary.scores["spleen"].std == pytest.approx(10)
    # organs 75, 70, 30, 80: mean 63.75, squared deviations 126.5625 + 39.0625 + 1139.0625 + 264.0625 = 1568.75
    assert summary.mean.mean == pytest.approx(63.75)
    assert summary.mean.std == pytest.approx((1568.75 / 4) ** 0.5)
    # runs: (60 + 80 + 20 + 90) / 4 and (90 + 60 + 40 + 70) / 4
    assert summary.runs == pytest.approx({(0, 0): 62.5, (1, 0): 65.0})
    assert summary.over_runs.std == pytest.approx(1.25)


def test_deviation_over_fifteen_runs_is_that_of_the_population(tmp_path, write_run, same):
    for repeat in range(3):
        for fold in range(5):
            write_run(same(0.5 + 0.01 * (5 * repeat + fold)), fold, repeat)
    summary = summarise_entry(read_results(tmp_path), "ep1")
    # of 0 to 14: (15^2 - 1) / 12
    assert summary.scores["liver"].std == pytest.approx((224 / 12) ** 0.5)
    assert summary.mean.std == pytest.approx(0)
    assert summary.missing == []
    assert len(summary.expected) == len(summary.runs) == 15


def test_a_single_value_has_no_deviation():
    assert score([70.0]).std is None


def test_papers_deviation_of_the_mean_is_over_organs():
    rules = {}
    for figures in all_figures():
        organs = [value for name, value in figures.dice.items() if name != "mean"]
        if figures.std and organs:
            rules[figures.method, figures.dataset, figures.protocol] = (
                abs(score(organs).std - figures.std["mean"]) < 0.05
            )
    assert score([87.53, 62.43, 77.31]).std == pytest.approx(10.31, abs=0.005)
    assert score([62.33, 86.46, 63.73, 77.12]).std == pytest.approx(9.96, abs=0.005)
    others = {(method, dataset) for (method, dataset, _), holds in rules.items() if not holds}
    # tables 5 (last row), 7 (superpixels) and 8 (3D) print something else
    assert others == {
        ("ADNet, rho 5000", "mscmr"),
        ("ADNet, superpixels", "mscmr"),
        ("ADNet, superpixels", "chaos_t2"),
        ("ADNet 3D, one slice", "mscmr"),
        ("ADNet 3D, one slice", "chaos_t2"),
        ("ADNet 3D, all slices", "mscmr"),
        ("ADNet 3D, all slices", "chaos_t2"),
    }


def test_missing_runs_and_organs_are_never_zero(tmp_path, write_run, same):
    write_run(same(0.8), fold=0)
    write_run({**same(0.6), "spleen": [None]}, fold=3)
    summary = summarise_entry(read_results(tmp_path), "ep1")
    assert summary.scores["liver"].mean == pytest.approx(70)
    assert summary.scores["spleen"] == score([80.0])
    assert list(summary.runs) == [(0, 0)]
    assert summary.missing == ["f1-r0", "f2-r0", "f4-r0", "f3-r0 spleen"]
    assert summarise_entry(read_results(tmp_path), "ep2").scores == {}


def test_setting_2_joins_its_groups(tmp_path, write_run):
    write_run({"left kidney": [0.5], "right kidney": [0.7]}, setting=2, group="kidneys")
    summary = summarise_entry(read_results(tmp_path), "ep1")
    assert summary.mean is None
    assert summary.runs == {}
    assert summary.missing[:5] == ["kidneys-f1-r0", "kidneys-f2-r0", "kidneys-f3-r0", "kidneys-f4-r0"] + [
        "liver_spleen-f0-r0"
    ]
    write_run({"liver": [0.9], "spleen": [0.3]}, setting=2, group="liver_spleen")
    summary = summarise_entry(read_results(tmp_path), "ep1")
    assert summary.mean.mean == pytest.approx(60)
    assert summary.runs == pytest.approx({(0, 0): 60})
    assert len(summary.missing) == 8


def test_organs_that_the_papers_leave_out_do_not_count(tmp_path, write_run, same):
    write_run({**same(0.5), "gallbladder": [1.0]}, dataset="sabs")
    summary = summarise_entry(read_results(tmp_path), "ep1")
    assert summary.organs == ["left kidney", "right kidney", "spleen", "liver"]
    assert summary.mean.mean == pytest.approx(50)


def test_both_sides_make_one_organ_of_a_table(tmp_path, write_run):
    dice = {"liver": [0.8], "spleen": [0.7], "left kidney": [0.5], "right kidney": [0.7]}
    dice |= {"left psoas": [0.2], "right psoas": [0.4]}
    write_run(dice, protocols=["k12"], dataset="visceral", bundle="lsnet")
    summary = summarise_entry(read_results(tmp_path), "k12")
    assert {organ: value.mean for organ, value in summary.scores.items()} == pytest.approx(
        {"liver": 80, "spleen": 70, "kidney": 60, "psoas": 30}
    )
    assert is_part("Kidney_Left", "left kidney")
    assert not is_part("right kidney", "left kidney")
    assert not is_part("portal and splenic vein", "spleen")


def entries(folder):
    read = read_results(folder)
    return [summarise_entry([item for item in read if item.run.bundle == name], "ep1") for name in ("adnet", "crapnet")]


def test_wilcoxon_pairs_runs(tmp_path, write_run, same):
    for fold, (first, second) in enumerate([(0.80, 0.70), (0.75, 0.70), (0.71, 0.70), (0.79, 0.75), (0.9, 0.6)]):
        write_run(same(first), fold)
        write_run(same(second), fold, bundle="crapnet")
    adnet, crapnet = entries(tmp_path)
    # all five positive: one of 2^5 signs
    assert compare(adnet, crapnet) == pytest.approx((5, 10, 1 / 32))
    assert compare(crapnet, adnet) == pytest.approx((5, -10, 1))
    assert compare(adnet, adnet) == (5, 0.0, 1.0)


def test_wilcoxon_sums_ranks(tmp_path, write_run, same):
    # differences +4 +3 +2 -1 points: negative rank sum 1; 2 of 2^4 sign patterns have at most that
    for fold, points in enumerate([4, 3, 2, -1]):
        write_run(same(0.5 + points / 100), fold)
        write_run(same(0.5), fold, bundle="crapnet")
    write_run(same(0.9), 4)  # without a partner
    assert compare(*entries(tmp_path)) == pytest.approx((4, 2, 2 / 16))


def test_runs_file_order_does_not_matter(tmp_path, write_run, same):
    write_run(same(0.8), 1)
    write_run(same(0.6), 0)
    read = read_results(tmp_path)
    assert summarise_entry(read, "ep1").scores == summarise_entry(read[::-1], "ep1").scores
    assert json.loads(read[0].path.read_text())["run"]["fold"] == 0
