"""Means, standard deviations, differences and tests as the papers define them; all Dice in percent.

The definitions: Dice is taken per query volume, 2 tp / (2 tp + fp + fn) over its scored slices. A run's figure for an
organ is the mean over its query volumes. An organ's figure is the mean over the runs, that is over folds and repeats;
the deviation beside it is the population standard deviation of the same values. The mean column averages the organs'
figures, last of all; in ADNet's tables of 2D networks the deviation printed there is the population standard deviation
over the organs' figures (10.31 for 87.53, 62.43 and 77.31), not over runs, and so it is here. Whether the papers'
deviation of an organ is over the runs or over the folds' means they do not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from ...data import number_of_folds, organ_groups
from ...evaluation import summarise
from .published import has_figures, published_organs
from .results import Result
from .runs import Run

_SIDES = frozenset(("left", "right"))


@dataclass(frozen=True)
class Score:
    """A mean in percent, and its standard deviation where it rests on several values."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class Summary:
    """What the runs of one entry of a table measured under one protocol.

    Attributes:
        run: one of them.
        scans: short hash of the scans of all.
        organs: organs that count, in the table's order.
        scores: by organ; organs without any value are missing.
        mean: over the organs, deviation over them too; None while an organ is missing.
        runs: mean Dice over the organs of each complete (fold, repeat).
        absent: names of the runs that there should be and are not.
        missing: the same, and organs that a run lacks.
        expected: number of runs that there should be.
    """

    run: Run
    scans: str
    organs: list[str]
    scores: Mapping[str, Score]
    mean: Score | None
    runs: Mapping[tuple[int, int], float]
    absent: Sequence[str]
    missing: Sequence[str]
    expected: int

    @property
    def over_runs(self) -> Score | None:
        """Mean and deviation of the runs' mean Dice; None without a complete run."""
        return score(list(self.runs.values())) if self.runs else None


def summarise_entry(results: Sequence[Result], protocol: str) -> Summary:
    """Average the runs of one bundle, variant, dataset and setting.

    Args:
        results: of these runs; groups of test organs together make up a fold.
        protocol: such as ``ep1``.
    """
    organs = entry_organs(results)
    values: dict[tuple[int, int], dict[str, float]] = {}
    lacking: list[str] = []
    expected = _expected(results)
    absent = dict(expected)
    for result in results:
        run = result.run
        scores = _organ_means(result.cases, protocol, organs)
        if scores:
            place = absent.pop((run.group, run.repeat, run.fold), "")
            lacking += [f"{place} {organ}" for organ in _wanted(run, organs) if organ not in scores]
            values.setdefault((run.fold, run.repeat), {}).update(scores)
    by_organ = {organ: [run[organ] for run in values.values() if organ in run] for organ in organs}
    scores_by_organ = {organ: score(numbers) for organ, numbers in by_organ.items() if numbers}
    complete = len(scores_by_organ) == len(organs)
    return Summary(
        run=results[0].run,
        scans=str(results[0].manifest.get("data_sha256") or "unknown")[:8],
        organs=organs,
        scores=scores_by_organ,
        mean=score([item.mean for item in scores_by_organ.values()]) if complete else None,
        runs={key: fmean(run.values()) for key, run in sorted(values.items()) if len(run) == len(organs)},
        absent=list(absent.values()),
        missing=[*absent.values(), *lacking],
        expected=len(expected),
    )


def score(values: Sequence[float]) -> Score:
    """Return mean and population standard deviation; a single value has none."""
    return Score(fmean(values), pstdev(values) if len(values) > 1 else None)


def entry_organs(results: Sequence[Result]) -> list[str]:
    """Return the organs that count.

    A method that a paper reports on the dataset is measured by all of the paper's organs, whether evaluated or missing.
    Other methods by those of them that they evaluate; on datasets without figures all count, in order of appearance.
    With groups of test organs the organs of all groups count: one group may still be missing.
    """
    measured = {str(row["organ"]): None for result in results for row in result.cases}
    groups = organ_groups(results[0].run.dataset, results[0].run.setting)
    if any(result.run.group in groups for result in results):
        measured |= {organ: None for organs in groups.values() for organ in organs}
    reported = published_organs(results[0].run.dataset)
    if not reported or has_figures(results[0].run):
        return reported or list(measured)
    return [organ for organ in reported if any(is_part(name, organ) for name in measured)]


def is_part(name: str, organ: str) -> bool:
    """Tell whether a label belongs to an organ of a table: ``Kidney_Left`` to left kidney, and to kidney."""
    words, wanted = _words(name), _words(organ)
    return words == wanted or (not wanted & _SIDES and words - _SIDES == wanted)


def wilcoxon(first: Summary, second: Summary) -> tuple[int, float]:
    """Test whether the first scores higher: one-sided Wilcoxon signed-rank test on mean Dice across all runs.

    Args:
        first: expected to be better.
        second: paired with the first by fold and repeat; runs without a partner do not count.

    Returns:
        Number of pairs and p; p is 1 where all pairs are equal.
    """
    from scipy.stats import wilcoxon as signed_rank

    keys = sorted(set(first.runs) & set(second.runs))
    differences = [first.runs[key] - second.runs[key] for key in keys]
    return len(keys), float(signed_rank(differences, alternative="greater").pvalue) if any(differences) else 1.0


def _organ_means(cases: Sequence[Mapping[str, Any]], protocol: str, organs: Sequence[str]) -> dict[str, float]:
    measured = summarise(cases).get(protocol, {})
    parts = {organ: [value for name, value in measured.items() if is_part(name, organ)] for organ in organs}
    return {organ: 100 * fmean(values) for organ, values in parts.items() if values}


def _expected(results: Sequence[Result]) -> dict[tuple[str | None, int, int], str]:
    """Name all runs by group, repeat and fold: all folds, of as many repeats as there are."""
    dataset, grouped = results[0].run.dataset, any(result.run.group is not None for result in results)
    groups: list[str | None] = list(organ_groups(dataset, results[0].run.setting)) if grouped else [None]
    folds = range(number_of_folds(dataset))
    repeats = 1 + max(result.run.repeat for result in results)
    keys = [(group, repeat, fold) for group in groups for repeat in range(repeats) for fold in folds]
    return {(group, repeat, fold): f"{group + '-' if group else ''}f{fold}-r{repeat}" for group, repeat, fold in keys}


def _wanted(run: Run, organs: Sequence[str]) -> list[str]:
    tested = organs if run.group is None else organ_groups(run.dataset, run.setting)[run.group]
    return [organ for organ in organs if any(is_part(name, organ) for name in tested)]


def _words(name: str) -> frozenset[str]:
    return frozenset(name.lower().replace("_", " ").replace("-", " ").split())
