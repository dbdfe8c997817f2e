"""What bundles say of their papers in ``about.yaml``: methods, figures, analyses; and which run each figure is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ...configuration.overlays import is_scale
from ...configuration.workflow import shipped_bundles
from .runs import Run

# Overrides that the papers' configuration needs: statistics of the training scans (CT).
_OF_THE_DATA = {"intensity_mean", "intensity_std"}


@dataclass(frozen=True)
class Figures:
    """One row of a paper's table: Dice in percent by organ and ``mean``; ``std`` is empty where the paper gives none.

    ``paper`` says whose table it is, ``table`` its number or place there.
    """

    paper: str
    table: str
    dataset: str
    setting: int
    protocol: str
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
    """Read what the bundle of a folder says of itself, see ``all_abouts``."""
    return {**yaml.safe_load((folder / "about.yaml").read_text(encoding="utf-8")), "bundle": folder.name}


def method_name(run: Run) -> str:
    """Name the method of a run; untrained networks and overlays that no paper knows are named as such."""
    overlays, names = frozenset(run.configs[1:]) - set(scale_overlays(run)), _names()
    if run.untrained and is_paper_configuration(run) and (run.bundle, overlays | {"untrained"}) in names:
        return names[run.bundle, overlays | {"untrained"}]
    base = names.get((run.bundle, frozenset()), run.bundle)
    name = names.get((run.bundle, overlays)) or " with ".join([base, *sorted(overlays)])
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

    Returns:
        None where no paper has them, as for most untrained networks.
    """
    wanted = (method_name(run), run.dataset, run.setting, protocol)
    found = (row for row in all_figures() if (row.method, row.dataset, row.setting, row.protocol) == wanted)
    return next(found, None)


def has_figures(run: Run) -> bool:
    """Tell whether a paper reports a run's method on its dataset, whatever setting and protocol."""
    return any((row.method, row.dataset) == (method_name(run), run.dataset) for row in all_figures())


def published_organs(dataset: str) -> list[str]:
    """Return the organs that the papers report on a dataset, in their order; empty for other datasets."""
    longest = max((list(row.dice) for row in all_figures() if row.dataset == dataset), key=len, default=[])
    return [organ for organ in longest if organ != "mean"]


@cache
def all_figures() -> list[Figures]:
    """Return the rows of all papers' tables."""
    figures = []
    for about in all_abouts():
        for table in about.get("published", []):
            place = {key: table[key] for key in ("paper", "table", "dataset", "setting", "protocol")}
            for row in table["rows"]:
                dice = dict(zip(table["organs"], row["dice"], strict=True))
                std = dict(zip(table["organs"], row["std"], strict=True)) if "std" in row else {}
                figures.append(Figures(**place, method=row["method"], dice=dice, std=std))
    return figures


@cache
def _is_scale(overlay: str) -> bool:
    return any(is_scale(overlay, folder / "configs") for folder in shipped_bundles())


@cache
def _names() -> dict[tuple[str, frozenset[str]], str]:
    abouts = all_abouts()
    return {(about["bundle"], frozenset(them)): name for about in abouts for name, them in about["methods"].items()}
