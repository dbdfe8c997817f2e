"""What bundles say of their papers in ``about.yaml``: methods, figures, analyses; and which run each figure is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ...workflow import shipped_bundles
from .runs import CHALLENGES, Run

# Overlays that say what is trained on and at what size, and leave the method alone.
_SCALES = {*CHALLENGES, "phantom", "paper", "cpu", "quick", "fast", "short"}
# Overrides that the papers' configuration needs: statistics of the training scans (CT).
_OF_THE_DATA = {"intensity_mean", "intensity_std"}


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


def all_abouts(bundles: Path | None = None) -> list[dict[str, Any]]:
    """Read the ``about.yaml`` of bundles, each with the bundle's own name added under ``bundle``.

    Args:
        bundles: their folder; None: the project's.
    """
    folders = shipped_bundles() if bundles is None else sorted(path.parent for path in bundles.glob("*/about.yaml"))
    return [read_about(folder.absolute()) for folder in folders if (folder / "about.yaml").is_file()]


@cache
def read_about(folder: Path) -> dict[str, Any]:
    """Read what one bundle says of itself, see `all_abouts`.

    Args:
        folder: of the bundle.
    """
    return {**yaml.safe_load((folder / "about.yaml").read_text(encoding="utf-8")), "bundle": folder.name}


def method_name(run: Run) -> str:
    """Name the method of a run; untrained networks and overlays that no paper knows are named as such."""
    known = _known_method(run)
    if known is not None:
        return known
    trained = _method_overlays(run) - {"untrained"}
    base = _names().get((run.bundle, frozenset()), run.bundle)
    name = _names().get((run.bundle, trained)) or " with ".join([base, *sorted(trained)])
    return f"untrained {name}" if run.untrained else name


def scale_overlays(run: Run) -> list[str]:
    """Return the overlays of a run that set scale or data and leave the method alone."""
    return [name for name in run.configs[1:] if name in _SCALES]


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
    return next((figures for place, figures in all_figures() if place == key), None)


def has_figures(run: Run) -> bool:
    """Tell whether a paper reports a run's method on its dataset, whatever setting and protocol."""
    return any(place[:2] == (method_name(run), run.dataset) for place, _ in all_figures())


def published_organs(dataset: str) -> list[str]:
    """Return the organs that the papers report on a dataset, in their order; empty for other datasets."""
    tables = [table for table in _tables() if table["dataset"] == dataset]
    longest: list[str] = max((table["organs"] for table in tables), key=len, default=[])
    return [organ for organ in longest if organ != "mean"]


def _known_method(run: Run) -> str | None:
    """Name the method in our tables; untrained networks of another size or from random weights are not the paper's."""
    if run.untrained and not is_paper_configuration(run):
        return None
    return _names().get((run.bundle, _method_overlays(run)))


def _method_overlays(run: Run) -> frozenset[str]:
    """Overlays that make the method, and whether it is untrained."""
    overlays = {name for name in run.configs[1:] if name not in _SCALES}
    return frozenset(overlays | ({"untrained"} if run.untrained else set()))


@cache
def _names() -> dict[tuple[str, frozenset[str]], str]:
    return {
        (about["bundle"], frozenset(overlays)): name
        for about in all_abouts()
        for name, overlays in about["methods"].items()
    }


@cache
def _tables() -> list[dict[str, Any]]:
    return [table for about in all_abouts() for table in about.get("published", [])]


@cache
def all_figures() -> list[tuple[tuple[str, str, int, str], Figures]]:
    """Return every figure with its method, dataset, setting and protocol."""
    rows = []
    for table in _tables():
        place = (table["dataset"], table["setting"], table["protocol"])
        for row in table["rows"]:
            dice = dict(zip(table["organs"], row["dice"], strict=True))
            std = dict(zip(table["organs"], row["std"], strict=True)) if "std" in row else {}
            rows.append(((row["method"], *place), Figures(table["paper"], table["table"], row["method"], dice, std)))
    return rows
