"""What the published folds need."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ...data.folds import FOLDS, Fold, split
from ...errors import InputError


def published_folds(dataset: str, subjects: Sequence[str]) -> list[Fold]:
    """The published folds by subject; none where subjects are missing.

    Args:
        dataset: "chaos", "sabs" or "mscmr".
        subjects: names, in any order.
    """
    items = [{"subject": subject} for subject in subjects]
    try:
        parts = [split(items, fold, dataset) for fold in range(FOLDS)]
    except InputError:
        return []
    return [Fold([item["subject"] for item in part["query"]], part["support"][0]["subject"]) for part in parts]


def missing_subjects(found: Collection[int], published: Sequence[int]) -> list[str]:
    """One line that names the published subjects that were not found, if any."""
    absent = [str(number) for number in published if number not in found]
    return [f"{len(absent)} of {len(published)} published subjects: {', '.join(absent)}"] if absent else []
