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
from dataclasses import dataclass, replace
from statistics import fmean, pstdev

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

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if self.std is None else f"{self.mean:.2f} ± {self.std:.2f}"


@dataclass(frozen=True)
class Summary:
    """What the runs of one entry of a table measured under one protocol.

    Attributes:
        results: of these runs.
        organs: organs that count, in the table's order.
        scores: by organ; organs without any value are missing.
        mean: over the organs, deviation over them too; None while an organ is missing.
        runs: mean Dice over the organs of each complete (fold, repeat).
        expected: places of the runs that there should be.
        absent: those of them that are not there.
        missing: the same, and organs that a run lacks.
    """

    results: Sequence[Result]
    organs: list[str]
    scores: Mapping[str, Score]
    mean: Score | None
    runs: Mapping[tuple[int, int], float]
    expected: Sequence[str]
    absent: Sequence[str]
    missing: Sequence[str]

    @property
    def run(self) -> Run:
        """One of the runs."""
        return self.results[0].run

    @property
    def scans(self) -> str:
        """Short hash of the scans of all."""
        return str(self.results[0].manifest.get("data_sha256") or "unknown")[:8]

    @property
    def over_runs(self) -> Score | None:
        """Mean and deviation of the runs' mean Dice; None without a complete run."""
        return score(list(self.runs.values())) if self.runs else None


def summarise_entry(results: Sequence[Result], protocol: str) -> Summary:
    """Average runs of one bundle, variant, dataset and setting; groups of test organs together make up a fold."""
    organs = entry_organs(results)
    values: dict[tuple[int, int], dict[str, float]] = {}
    places, lacking = [], []
    for run, cases in ((result.run, result.cases) for result in results):
        measured = summarise(cases).get(protocol)
        if measured:
            parts = {organ: [value for name, value in measured.items() if is_part(name, organ)] for organ in organs}
            scores = {organ: 100 * fmean(found) for organ, found in parts.items() if found}
            tested = organs if run.group is None else organ_groups(run.dataset, run.setting)[run.group]
            wanted = [organ for organ in organs if any(is_part(name, organ) for name in tested)]
            lacking += [f"{run.place} {organ}" for organ in wanted if organ not in scores]
            places.append(run.place)
            values.setdefault((run.fold, run.repeat), {}).update(scores)
    by_organ = {organ: [run[organ] for run in values.values() if organ in run] for organ in organs}
    found = {organ: score(numbers) for organ, numbers in by_organ.items() if numbers}
    expected = _expected(results)
    absent = [place for place in expected if place not in places]
    return Summary(
        results=results,
        organs=organs,
        scores=found,
        mean=score([item.mean for item in found.values()]) if len(found) == len(organs) else None,
        runs={key: fmean(run.values()) for key, run in sorted(values.items()) if len(run) == len(organs)},
        expected=expected,
        absent=absent,
        missing=[*absent, *lacking],
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
    run = results[0].run
    measured = {str(row["organ"]): None for result in results for row in result.cases}
    groups = organ_groups(run.dataset, run.setting)
    if any(result.run.group in groups for result in results):
        measured |= {organ: None for organs in groups.values() for organ in organs}
    reported = published_organs(run.dataset)
    if not reported or has_figures(run):
        return reported or list(measured)
    return [organ for organ in reported if any(is_part(name, organ) for name in measured)]


def is_part(name: str, organ: str) -> bool:
    """Tell whether a label belongs to an organ of a table: ``Kidney_Left`` to left kidney, and to kidney."""
    words, wanted = (frozenset(text.lower().replace("_", " ").replace("-", " ").split()) for text in (name, organ))
    return words == wanted or (not wanted & _SIDES and words - _SIDES == wanted)


def compare(first: Summary, second: Summary) -> tuple[int, float, float]:
    """Test whether the first scores higher: one-sided Wilcoxon signed-rank test on mean Dice across all runs.

    Returns:
        Number of pairs of one fold and repeat, mean difference in points, and p, which is 1 where all pairs are equal.
    """
    from scipy.stats import wilcoxon

    differences = [first.runs[key] - second.runs[key] for key in sorted(set(first.runs) & set(second.runs))]
    p = float(wilcoxon(differences, alternative="greater").pvalue) if any(differences) else 1.0
    return len(differences), fmean(differences) if differences else 0.0, p


def _expected(results: Sequence[Result]) -> list[str]:
    """Name all runs by group, repeat and fold: all folds, of as many repeats as there are."""
    one, grouped = results[0].run, any(result.run.group is not None for result in results)
    groups: list[str | None] = list(organ_groups(one.dataset, one.setting)) if grouped else [None]
    return [
        replace(one, group=group, repeat=repeat, fold=fold).place
        for group in groups
        for repeat in range(1 + max(result.run.repeat for result in results))
        for fold in range(number_of_folds(one.dataset))
    ]
