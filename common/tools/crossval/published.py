"""The papers' figures, and which of our runs each is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from .about import all_abouts
from .runs import CHALLENGES, Run

# Overlays that say what is trained on and at what size, and leave the method alone.
_DATA = {*CHALLENGES, "phantom"}
_SIZES = {"paper", "cpu", "quick", "fast", "short"}
# Overrides that the papers' configuration needs: statistics of the training scans (CT).
_OF_THE_DATA = {"intensity_mean", "intensity_std"}
_UNTRAINED = "untrained"


@dataclass(frozen=True)
class Figures:
    """One row of a paper's table.

    Attributes:
        paper: whose table it is.
        table: its number or place there.
        method: name of the method in our tables.
        dice: percent by organ and ``mean``.
        std: the standard deviation behind each, percent; empty where the paper gives none.
    """

    paper: str
    table: str
    method: str
    dice: Mapping[str, float]
    std: Mapping[str, float]


def method_name(run: Run) -> str:
    """Name the method of a run; untrained networks and overlays that no paper knows are named as such."""
    known = _known_method(run)
    if known is not None:
        return known
    trained = _method_overlays(run) - {_UNTRAINED}
    base = _names().get((run.bundle, frozenset()), run.bundle)
    name = _names().get((run.bundle, trained)) or " with ".join([base, *sorted(trained)])
    return f"untrained {name}" if run.untrained else name


def scale_overlays(run: Run) -> list[str]:
    """Return the overlays of a run that set scale or data and leave the method alone."""
    return [name for name in run.configs[1:] if _is_scale(name)]


def is_paper_configuration(run: Run) -> bool:
    """Tell whether nothing but the paper's own values shaped a run."""
    if "train_3d" in run.configs and run.overrides.get("init", "none") == "none":
        return False  # the published network starts from Kinetics, a file that is the user's to fetch
    allowed = _OF_THE_DATA | ({"init"} if "train_3d" in run.configs else set())
    allowed |= {"checkpoint", "init"} if run.untrained else set()
    return set(run.overrides) <= allowed and set(scale_overlays(run)) <= {run.dataset, "paper"}


def published(run: Run, protocol: str) -> Figures | None:
    """Find a paper's figures for what a run measured; the method's own paper comes first.

    Args:
        run: gives method, dataset and setting.
        protocol: such as ``ep1``.

    Returns:
        None where no paper has them, as for most untrained networks.
    """
    key = (_known_method(run), run.dataset, run.setting, protocol)
    return next((figures for place, figures in _rows() if place == key), None)


def has_figures(run: Run) -> bool:
    """Tell whether a paper reports a run's method on its dataset, whatever setting and protocol."""
    return any(place[:2] == (method_name(run), run.dataset) for place, _ in _rows())


def published_organs(dataset: str) -> list[str]:
    """Return the organs that the papers report on a dataset, in their order; empty for other datasets."""
    tables = [table for table in _tables() if table["dataset"] == dataset]
    longest: list[str] = max((table["organs"] for table in tables), key=len, default=[])
    return [organ for organ in longest if organ != "mean"]


def all_figures() -> Iterable[tuple[tuple[str, str, int, str], Figures]]:
    """Return every figure with its method, dataset, setting and protocol."""
    return _rows()


def _is_scale(overlay: str) -> bool:
    return overlay in _DATA | _SIZES


def _known_method(run: Run) -> str | None:
    """Name the method in our tables; untrained networks of another size or from random weights are not the paper's."""
    if run.untrained and not is_paper_configuration(run):
        return None
    return _names().get((run.bundle, _method_overlays(run)))


def _method_overlays(run: Run) -> frozenset[str]:
    """Overlays that make the method, and whether it is untrained."""
    overlays = {name for name in run.configs[1:] if not _is_scale(name)}
    return frozenset(overlays | ({_UNTRAINED} if run.untrained else set()))


@cache
def _names() -> dict[tuple[str, frozenset[str]], str]:
    return {
        (about["bundle"], frozenset(overlays)): name
        for about in all_abouts()
        for name, overlays in about["methods"].items()
    }


@cache
def _tables() -> list[dict[str, Any]]:
    return [table for about in all_abouts() for table in about["published"]]


@cache
def _rows() -> list[tuple[tuple[str, str, int, str], Figures]]:
    rows = []
    for table in _tables():
        place = (table["dataset"], table["setting"], table["protocol"])
        for row in table["rows"]:
            dice = dict(zip(table["organs"], row["dice"], strict=True))
            std = dict(zip(table["organs"], row["std"], strict=True)) if "std" in row else {}
            rows.append(((row["method"], *place), Figures(table["paper"], table["table"], row["method"], dice, std)))
    return rows
