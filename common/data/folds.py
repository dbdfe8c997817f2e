"""Cross-validation folds and groups of test organs of the few-shot papers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import InputError
from .datalists import Item, SubjectId, exclude_subjects, natural_key, select_subjects
from .names import organ_words

logger = logging.getLogger(__name__)

FOLDS = 5
_HELD_OUT = 10  # one of so many scans, where no scan has labels

# Patient numbers as published; SABS counts its 30 scans (img0001-0010, 0021-0040) from 0 in the order of their names.
PUBLISHED_SUBJECTS: dict[str, list[int]] = {
    "chaos": [1, 2, 3, 5, 8, 10, 13, 15, 19, 20, 21, 22, 31, 32, 33, 34, 36, 37, 38, 39],
    "sabs": list(range(30)),
    "mscmr": list(range(1, 36)),
}
# VISCERAL has one fold: silver scans train; of the gold scans one is the support (SE-Net), the others are queries.
VISCERAL_GOLD = [10000100, *range(10000104, 10000107), *range(10000108, 10000114), *range(10000127, 10000137)]
VISCERAL_SUPPORT = 10000132

# Methods that learn from annotated organs, setting 1: each class is tested in turn, both kidneys as one.
_ABDOMINAL_GROUPS: dict[str, tuple[str, ...]] = {
    "liver": ("liver",),
    "spleen": ("spleen",),
    "kidneys": ("right kidney", "left kidney"),
}
_CARDIAC_GROUPS: dict[str, tuple[str, ...]] = {"lv_bp": ("LV-BP",), "lv_myo": ("LV-MYO",), "rv": ("RV",)}
# Setting 2: one training per group, without the slices that show any organ of the group.
_SETTING_2_GROUPS: dict[str, tuple[str, ...]] = {
    "kidneys": ("right kidney", "left kidney"),
    "liver_spleen": ("liver", "spleen"),
}
_VISCERAL_GROUPS = {**_ABDOMINAL_GROUPS, "psoas": ("right psoas", "left psoas")}


@dataclass(frozen=True)
class Fold:
    """One fold: the subjects that are segmented and the one that shows how; neither is trained on."""

    queries: Sequence[SubjectId]
    support: SubjectId


def organ_groups(dataset: str, setting: int) -> dict[str, tuple[str, ...]]:
    """Groups of test organs, each with a training of its own.

    Args:
        dataset: "visceral" has LSNet's four in both settings.
        setting: 1: each class in turn (SSL-ALPNet, section 4); 2: the pairs whose slices are left out of training.
    """
    if dataset == "visceral":
        return _VISCERAL_GROUPS
    if setting == 2:
        return _SETTING_2_GROUPS
    return _CARDIAC_GROUPS if dataset == "mscmr" else _ABDOMINAL_GROUPS


def number_of_folds(dataset: str) -> int:
    """One on "visceral", whose test scans are fixed; five elsewhere."""
    return 1 if dataset == "visceral" else FOLDS


def published_fold(dataset: str, fold: int, support_rule: Literal["wrap", "last"] = "wrap") -> Fold:
    """Queries and support of a published fold.

    Args:
        dataset: "chaos", "sabs", "mscmr" or "visceral".
        fold: 0 to 4; "visceral" has 0 only.
        support_rule: which member of the fold is the support; they differ in fold 4 only. "wrap": the first subject
            of the next fold (ALPNet code, ADNet Fig. 3). "last": the highest number (released ADNet code).

    Returns:
        Patient numbers; for SABS indices 0 to 29 into the scans in name order.

    Raises:
        InputError: unknown dataset or rule, or no such fold.
    """
    if dataset == "visceral" and fold == 0:
        return Fold([subject for subject in VISCERAL_GOLD if subject != VISCERAL_SUPPORT], VISCERAL_SUPPORT)
    if dataset not in PUBLISHED_SUBJECTS:
        known = f"{', '.join(PUBLISHED_SUBJECTS)} (0 to 4), visceral (0)"
        raise InputError(f"no published fold {fold} for dataset {dataset!r}; known: {known}")
    wrapped = make_folds(PUBLISHED_SUBJECTS[dataset], fold)
    if support_rule == "wrap":
        return wrapped
    if support_rule == "last":
        members = sorted([*wrapped.queries, wrapped.support], key=natural_key)
        return Fold(members[:-1], members[-1])
    raise InputError(f'support_rule must be "wrap" or "last", got {support_rule!r}')


def make_folds(subject_ids: Iterable[SubjectId], fold: int, folds: int = FOLDS) -> Fold:
    """One fold of any dataset: near-equal contiguous parts of the sorted subjects, support from the next part.

    Args:
        subject_ids: names or numbers, in any order; sorted numerically here.
        fold: 0 to ``folds`` - 1.
        folds: number of parts; the first ones are larger by one where the division leaves a rest.

    Returns:
        The part as queries; the first subject of the next part (wrapping around) as support.

    Raises:
        InputError: no such fold, fewer than two folds, or more folds than subjects.
    """
    ordered: list[SubjectId] = sorted(subject_ids, key=natural_key)
    if not 2 <= folds <= len(ordered):
        raise InputError(
            f"folds must be 2 to the number of subjects ({len(ordered)}), got {folds}: "
            "add scans, or train on all of them (--fold none; fold: null)"
        )
    if not 0 <= fold < folds:
        raise InputError(f"fold must be 0 to {folds - 1}, got {fold}")
    size, rest = divmod(len(ordered), folds)
    starts = [part * size + min(part, rest) for part in range(folds + 1)]
    return Fold(ordered[starts[fold] : starts[fold + 1]], ordered[starts[fold + 1] % len(ordered)])


def split(
    datalist: Sequence[Item],
    fold: int | None,
    dataset: str | None = None,
    support: Iterable[SubjectId] | SubjectId | None = None,
    queries: Iterable[SubjectId] | SubjectId | None = None,
    folds: int = FOLDS,
    support_rule: Literal["wrap", "last"] = "wrap",
) -> dict[str, list[Item]]:
    """Divide a datalist into training, query and support scans.

    Args:
        datalist: items with "subject".
        fold: number of the fold; None holds out only what ``support`` and ``queries`` name, nothing by default. The
            same outside of the published folds where no scan has a label map: nothing could be scored.
        dataset: "chaos", "sabs", "mscmr", "visceral" for published folds; None for ``make_folds`` over the datalist.
        support: subjects to use as support instead of the fold's (several for more than one shot).
        queries: subjects to segment instead of the fold's.
        folds: number of folds where they are not published.
        support_rule: as for ``published_fold``.

    Returns:
        ``{"train": [...], "query": [...], "support": [...], "held_out": [...]}``; training is everything else, scans
        beyond the published ones included. Held out are scans for validation without labels: a tenth, where a fold is
        asked for, nothing could be scored and there are ten scans or more.

    Raises:
        InputError: an id is unknown, a subject is support and query, or the scans are not the published ones.
    """
    unseen: list[Item] = []
    if fold is not None and (dataset is not None or any("label" in item for item in datalist)):
        ids = [item["subject"] for item in datalist]
        chosen = make_folds(ids, fold, folds) if dataset is None else _published(ids, dataset, fold, support_rule)
        support = chosen.support if support is None else support
        queries = chosen.queries if queries is None else queries
    elif fold is not None and support is None and queries is None:
        if len(datalist) >= _HELD_OUT:
            subjects = [item["subject"] for item in datalist]
            unseen = select_subjects(datalist, make_folds(subjects, fold, _HELD_OUT).queries)
        kept = f"{len(unseen)} held out to follow it" if unseen else "nothing is kept out"
        logger.warning(
            f"fold {fold}: no scan has a label map, so none could be scored; {kept}, "
            f"the training is on {'the others' if unseen else 'all scans'} ({len(datalist) - len(unseen)})"
        )
    support_items, query_items = select_subjects(datalist, support or []), select_subjects(datalist, queries or [])
    both = sorted({item["subject"] for item in support_items} & {item["subject"] for item in query_items})
    if both:
        raise InputError(f"subjects {both} are both support and query: choose another support or other queries")
    others = [item["subject"] for item in support_items + query_items + unseen]
    train = exclude_subjects(datalist, others)
    return {"train": train, "query": query_items, "support": support_items, "held_out": unseen}


def training_items(datalist: Sequence[Item], excluded_labels: Sequence[int] = (), labelled: bool = False) -> list[Item]:
    """Leave the label maps out of a training datalist, unless something needs them: self-supervision must not see them.

    Args:
        datalist: training scans.
        excluded_labels: setting 2 needs the label maps to know which slices to leave out; they are kept then.
        labelled: supervised training on annotated organs; label maps are kept.

    Raises:
        InputError: label maps are needed and a scan has none.
    """
    if not excluded_labels and not labelled:
        return [{key: value for key, value in item.items() if key != "label"} for item in datalist]
    unlabelled = [item["subject"] for item in datalist if "label" not in item]
    if unlabelled:
        option = "supervised training" if labelled else "excluded_labels"
        raise InputError(
            f"{option} needs label maps of every training scan; there is none for {unlabelled}: add them, or take an "
            "overlay or a bundle that trains without labels"
        )
    return list(datalist)


def label_values(organs: Iterable[str], label_names: Mapping[str, int]) -> list[int]:
    """Look organs up in a dataset's labels; the order of the words does not matter ("kidney_right").

    Args:
        organs: names.
        label_names: name to value, as from ``label_names()``.

    Returns:
        Sorted label values.

    Raises:
        InputError: the dataset has no such label.
    """
    values = {frozenset(organ_words(name)): value for name, value in label_names.items()}
    wanted = {organ: frozenset(organ_words(organ)) for organ in organs}
    missing = [organ for organ, words in wanted.items() if words not in values]
    if missing:
        raise InputError(
            f"the labels {missing} are needed, dataset.json names {list(label_names)}: "
            "rename its labels, or use setting 1"
        )
    return sorted(values[words] for words in wanted.values())


def _published(subjects: Sequence[str], dataset: str, fold: int, support_rule: Literal["wrap", "last"]) -> Fold:
    chosen = published_fold(dataset, fold, support_rule)
    if dataset != "sabs":
        return chosen
    ordered = sorted(subjects, key=natural_key)
    if len(ordered) != len(PUBLISHED_SUBJECTS["sabs"]):
        raise InputError(f"the published SABS folds need its 30 scans, found {len(ordered)}: complete them")
    return Fold([ordered[int(index)] for index in chosen.queries], ordered[int(chosen.support)])
