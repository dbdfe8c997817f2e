from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data import Fold, label_values, make_folds, number_of_folds, organ_groups, published_fold, split
from common.errors import InputError

CHAOS = [1, 2, 3, 5, 8, 10, 13, 15, 19, 20, 21, 22, 31, 32, 33, 34, 36, 37, 38, 39]

PUBLISHED = {
    "chaos": [
        ([1, 2, 3, 5], 8),
        ([8, 10, 13, 15], 19),
        ([19, 20, 21, 22], 31),
        ([31, 32, 33, 34], 36),
        ([36, 37, 38, 39], 1),
    ],
    "mscmr": [
        ([1, 2, 3, 4, 5, 6, 7], 8),
        ([8, 9, 10, 11, 12, 13, 14], 15),
        ([15, 16, 17, 18, 19, 20, 21], 22),
        ([22, 23, 24, 25, 26, 27, 28], 29),
        ([29, 30, 31, 32, 33, 34, 35], 1),
    ],
    "sabs": [
        ([0, 1, 2, 3, 4, 5], 6),
        ([6, 7, 8, 9, 10, 11], 12),
        ([12, 13, 14, 15, 16, 17], 18),
        ([18, 19, 20, 21, 22, 23], 24),
        ([24, 25, 26, 27, 28, 29], 0),
    ],
}
LAST_RULE_FOLD_4 = {
    "chaos": ([1, 36, 37, 38], 39),
    "mscmr": ([1, 29, 30, 31, 32, 33, 34], 35),
    "sabs": ([0, 24, 25, 26, 27, 28], 29),
}


def datalist_of(names):
    return [{"image": f"{name}.nii.gz", "label": f"{name}_map.nii.gz", "subject": name} for name in names]


def names_of(items) -> list[str]:
    return [item["subject"] for item in items]


@pytest.mark.parametrize("dataset", PUBLISHED)
@pytest.mark.parametrize("fold", range(5))
def test_published_folds(dataset, fold):
    queries, support = PUBLISHED[dataset][fold]
    assert published_fold(dataset, fold) == Fold(queries, support)
    expected = LAST_RULE_FOLD_4[dataset] if fold == 4 else (queries, support)
    assert published_fold(dataset, fold, support_rule="last") == Fold(*expected)


def test_a_line_tells_that_nothing_is_kept_out_of_unlabelled_scans(caplog):
    scans = [{"image": f"{name}.nii", "subject": name} for name in ("a", "b")]
    assert names_of(split(scans, 0)["train"]) == ["a", "b"]
    assert "nothing is kept out, the training is on all scans (2)" in caplog.text
    caplog.clear()
    split(scans, None)
    split(scans, 0, queries=["a"])
    assert caplog.text == ""
    fix = r"add scans, or train on all of them \(--fold none; fold: null\)"
    with pytest.raises(InputError, match=rf"subjects \(2\), got 5: {fix}"):
        split(datalist_of(["a", "b"]), 0)


@pytest.mark.parametrize(("dataset", "numbers", "train"), [("chaos", CHAOS, 15), ("mscmr", range(1, 36), 27)])
def test_split_with_published_folds(dataset, numbers, train):
    datalist = datalist_of(f"case_{number:02d}" for number in numbers)
    for fold, (queries, support) in enumerate(PUBLISHED[dataset]):
        parts = split(datalist, fold, dataset)
        assert names_of(parts["query"]) == [f"case_{number:02d}" for number in queries]
        assert names_of(parts["support"]) == [f"case_{support:02d}"]
        assert len(parts["train"]) == train
        assert not set(names_of(parts["train"])) & set(names_of(parts["query"] + parts["support"]))


def test_sabs_counts_scans_in_name_order():
    names = [f"img{number:04d}" for number in (*range(1, 11), *range(21, 41))]
    parts = split(datalist_of(reversed(names)), 1, "sabs")
    assert names_of(parts["query"]) == ["img0007", "img0008", "img0009", "img0010", "img0021", "img0022"]
    assert names_of(parts["support"]) == ["img0023"]
    assert len(parts["train"]) == 23
    with pytest.raises(ValueError, match="need its 30 scans, found 29"):
        split(datalist_of(names[1:]), 1, "sabs")


def test_make_folds_sorts_numbers_and_wraps():
    names = [f"phantom_{number}" for number in range(10, 0, -1)]
    assert make_folds(names, 0) == Fold(["phantom_1", "phantom_2"], "phantom_3")
    assert make_folds(names, 4) == Fold(["phantom_9", "phantom_10"], "phantom_1")


@given(count=st.integers(2, 60), folds=st.integers(2, 9))
def test_folds_cover_every_subject_once(count, folds):
    if folds > count:
        with pytest.raises(ValueError, match="folds must be 2 to the number of subjects"):
            make_folds(range(count), 0, folds)
        return
    every = [make_folds(range(count), fold, folds) for fold in range(folds)]
    assert [query for one in every for query in one.queries] == list(range(count))
    sizes = [len(one.queries) for one in every]
    assert max(sizes) - min(sizes) <= 1
    assert [one.support for one in every] == [one.queries[0] for one in [*every[1:], every[0]]]
    assert all(one.support not in one.queries for one in every)


def test_split_with_own_support_and_queries():
    datalist = datalist_of(f"p_{number}" for number in range(1, 11))
    parts = split(datalist, 0, support=[7, "p_9"])
    assert names_of(parts["query"]) == ["p_1", "p_2"]
    assert names_of(parts["support"]) == ["p_7", "p_9"]
    assert names_of(parts["train"]) == ["p_3", "p_4", "p_5", "p_6", "p_8", "p_10"]
    parts = split(datalist, None, support=1, queries=[2, 3])
    assert names_of(parts["train"]) == [f"p_{number}" for number in range(4, 11)]


def test_of_scans_without_any_label_map_a_tenth_is_held_out():
    datalist = [{"image": f"p_{number}.nii.gz", "subject": f"p_{number}"} for number in range(1, 26)]
    for fold in range(5):
        parts = split(datalist, fold)
        assert len(parts["held_out"]) in (2, 3) and parts["query"] == parts["support"] == []
        assert sorted(names_of(parts["train"] + parts["held_out"])) == sorted(names_of(datalist))
    assert split(datalist, 0)["held_out"] != split(datalist, 1)["held_out"]
    everything = {"train": datalist[:9], "query": [], "support": [], "held_out": []}
    assert split(datalist[:9], 0) == everything  # too few to spare one
    assert split(datalist, None)["train"] == datalist


def test_split_errors():
    datalist = datalist_of(f"p_{number}" for number in range(1, 11))
    with pytest.raises(ValueError, match=r"\['p_2'\] are both support and query"):
        split(datalist, 0, support=2)
    with pytest.raises(ValueError, match="subject 19 is unknown; available: p_1, p_2"):
        split(datalist, 1, "chaos")
    with pytest.raises(ValueError, match="fold must be 0 to 4, got 5"):
        split(datalist, 5)
    with pytest.raises(ValueError, match="no published fold 0 for dataset 'lits'; known: chaos, sabs, mscmr"):
        split(datalist, 0, "lits")
    with pytest.raises(ValueError, match="support_rule must be"):
        published_fold("chaos", 0, support_rule="first")


LABELS = {"background": 0, "liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}


def test_organ_groups():
    assert [label_values(organs, LABELS) for organs in organ_groups("chaos_t2", 2).values()] == [[2, 3], [1, 4]]
    assert [label_values(organs, LABELS) for organs in organ_groups("chaos_t2", 1).values()] == [[1], [4], [2, 3]]
    assert list(organ_groups("mscmr", 1).values()) == [("LV-BP",), ("LV-MYO",), ("RV",)]
    assert list(organ_groups("visceral", 1)) == ["liver", "spleen", "kidneys", "psoas"]
    assert label_values(organ_groups("sabs", 2)["kidneys"], {"Kidney_Left": 7, "Kidney_Right": 9}) == [7, 9]


def test_unknown_organs():
    with pytest.raises(ValueError, match=r"the labels \['liver', 'spleen'\] are needed, dataset.json names \['LV'\]"):
        label_values(["liver", "spleen"], {"LV": 1})


def test_visceral_has_one_fold_of_gold_scans():
    fold = published_fold("visceral", 0)
    assert fold.support == 10000132 and len(fold.queries) == 19 and fold.support not in fold.queries
    assert number_of_folds("visceral") == 1 and number_of_folds("chaos_t2") == 5
    with pytest.raises(ValueError, match="no published fold 1 for dataset 'visceral'"):
        published_fold("visceral", 1)
    items = [{"image": "", "subject": f"visceral_{number}"} for number in [*fold.queries, fold.support, 10000005]]
    parts = split(items, 0, "visceral")
    assert [len(parts[key]) for key in ("train", "query", "support")] == [1, 19, 1]
