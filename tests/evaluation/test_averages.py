"""Averages are over cases first, then over organs."""

import pytest
import torch
from monai.metrics import compute_dice

from common.evaluation import dice_table, summarise


def row(protocol, case, organ, dice):
    return {"protocol": protocol, "case": case, "organ": organ, "dice": dice}


def masks(true_positive, false_positive, false_negative):
    total = true_positive + false_positive + false_negative
    pred, label = torch.ones(total), torch.ones(total)
    pred[true_positive + false_positive :] = 0
    label[true_positive : true_positive + false_positive] = 0
    return pred.reshape(1, 1, total, 1, 1), label.reshape(1, 1, total, 1, 1)


def test_dice_is_per_volume_and_not_pooled():
    scores = [compute_dice(*masks(*counts)).item() for counts in ((8, 2, 4), (3, 1, 3))]
    assert scores == pytest.approx([0.7272727273, 0.6], abs=1e-6)
    means = summarise([row("ep1", str(case), "liver", score) for case, score in enumerate(scores)])
    assert means["ep1"]["liver"] == pytest.approx(0.6636363636, abs=1e-6)
    assert means["ep1"]["liver"] != pytest.approx(0.6875, abs=1e-3)


def test_organs_weigh_the_same_whatever_their_number_of_cases():
    rows = [row("ep2", "a", "liver", 1.0), row("ep2", "b", "liver", 0.8), row("ep2", "a", "spleen", 0.1)]
    assert summarise(rows)["ep2"] == pytest.approx({"liver": 0.9, "spleen": 0.1, "mean": 0.5})


def test_missing_distances_do_not_count():
    rows = [row("ep2", "a", "liver", None), row("ep2", "b", "liver", 0.8)]
    assert summarise(rows)["ep2"]["liver"] == 0.8


def test_table_lines_up():
    lines = dice_table([row("ep1", "a", "right kidney", 0.5), row("ep2", "a", "right kidney", 0.25)]).splitlines()
    assert lines[0].split() == ["Dice", "right", "kidney", "mean"]
    assert lines[1].split() == ["ep1", "0.500", "0.500"]
    assert len({len(line) for line in lines}) == 1
