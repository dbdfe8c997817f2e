"""EP1's slice pairing, the folds and Dice as published, against values written down by hand."""

from itertools import product

import pytest
import torch

from common.data import published_fold
from common.data.folds import PUBLISHED_SUBJECTS
from common.evaluation.cases import CaseMetrics
from common.protocols import named_protocol

COUNTS = (1, 2, 3, 9, 10, 28)
# Chunk sizes of a query organ on so many slices.
# The list is cut at int(linspace(0, n, 4)), as by ADNet; the range at int((z - first) // ((last - first) / 3)), at
# most 2, as in ALPNet.
CHUNKS = {
    "list": {1: (0, 0, 1), 2: (0, 1, 1), 3: (1, 1, 1), 9: (3, 3, 3), 10: (3, 3, 4), 28: (9, 9, 10)},
    "range": {1: (1, 0, 0), 2: (1, 0, 1), 3: (1, 1, 1), 9: (3, 3, 3), 10: (3, 3, 4), 28: (9, 9, 10)},
}
# Places int(n / 6), int(n / 2) and int(5 n / 6) among the support's slices, the same under both rules.
SUPPORT = {1: (0, 0, 0), 2: (0, 1, 1), 3: (0, 1, 2), 9: (1, 4, 7), 10: (1, 5, 8), 28: (4, 14, 23)}


@pytest.mark.parametrize("rule", CHUNKS)
@pytest.mark.parametrize(("query", "support"), list(product(COUNTS, COUNTS)))
def test_ep1_pairs_every_query_slice_of_the_organ(rule, query, support):
    protocol = named_protocol("ep1", chunk_rule=rule)
    first = 5
    chunks = protocol.query_chunks(40, list(range(first, first + query)))
    expected = [chunk for chunk, size in enumerate(CHUNKS[rule][query]) for _ in range(size)]
    assert chunks == [-1] * first + expected + [-1] * (40 - first - query)
    slices = protocol.support_slices(list(range(20, 20 + support)))
    assert slices == [[20 + place] for place in SUPPORT[support]]


def test_ep1_takes_the_middle_support_slice_of_a_short_organ():
    # One query slice falls into the last chunk by one rule and into the first by the other.
    pairs = {}
    for rule in CHUNKS:
        protocol = named_protocol("ep1", chunk_rule=rule)
        pairs[rule] = protocol.support_slices(list(range(10)))[protocol.query_chunks(1, [0])[0]]
    assert pairs == {"list": [8], "range": [1]}


@pytest.mark.parametrize("count", range(1, 61))
def test_range_rule_equals_its_formula(count):
    width = (count - 1) / 3
    formula = [min(int(place // width), 2) if width else 0 for place in range(count)]
    assert named_protocol("ep1", chunk_rule="range").query_chunks(count, list(range(count))) == formula


@pytest.mark.parametrize("count", COUNTS)
def test_ep2_pairs_all_slices_with_the_middle_one(count):
    protocol = named_protocol("ep2")
    assert protocol.support_slices(list(range(7, 7 + count))) == [[7 + int(0.5 * count)]]
    assert protocol.query_chunks(30, list(range(3, 3 + count))) == [0] * 30


@pytest.mark.parametrize(
    ("dataset", "separators", "supports", "training"),
    [
        ("chaos", [0, 4, 8, 12, 16, 20], [8, 19, 31, 36, 1], 15),
        ("sabs", [0, 6, 12, 18, 24, 30], [6, 12, 18, 24, 0], 23),
        ("mscmr", [0, 7, 14, 21, 28, 35], [8, 15, 22, 29, 1], 27),
    ],
)
def test_folds_and_supports(dataset, separators, supports, training):
    subjects = PUBLISHED_SUBJECTS[dataset]
    folds = [published_fold(dataset, number) for number in range(5)]
    assert [fold.support for fold in folds] == supports
    for number, fold in enumerate(folds):
        assert fold.queries == subjects[separators[number] : separators[number + 1]]
        assert len(set(subjects) - {*fold.queries, fold.support}) == training
    last = published_fold(dataset, 4, support_rule="last")
    assert last.support == subjects[-1]
    assert subjects[0] in last.queries


class Image:
    def __init__(self):
        self.meta = {"support_organs": torch.tensor([1]), "filename_or_obj": "scan_1.nii.gz"}


def test_dice_accumulates_over_slices(tmp_path):
    # Slice by slice: tp 6 fp 1 fn 0, tp 0 fp 2 fn 2, and an empty slice with fp 1
    counts = [(6, 1, 0), (0, 2, 2), (0, 1, 0)]
    pred, label = torch.zeros(1, 8, 1, 3), torch.zeros(1, 8, 1, 3)
    for index, (tp, fp, fn) in enumerate(counts):
        pred[0, : tp + fp, 0, index] = 1
        label[0, :tp, 0, index] = 1
        label[0, tp + fp : tp + fp + fn, 0, index] = 1
    label_tensor = torch.Tensor.as_subclass(label, _Label)
    metrics = CaseMetrics(str(tmp_path), {"liver": 1}, distances=False)
    engine = type("Engine", (), {"state": type("State", (), {})()})()
    engine.state.output = [{"image": Image(), "pred": pred, "label": label_tensor}]
    metrics(engine)
    assert metrics.rows[0]["dice"] == pytest.approx(2 * 6 / (2 * 6 + 4 + 2), abs=1e-6)
    slices = [12 / 13, 0, 0]
    assert metrics.rows[0]["dice"] != pytest.approx(sum(slices) / 3, abs=0.01)


class _Label(torch.Tensor):
    pixdim = (1.0, 1.0, 1.0)
