"""Ablations of the papers: families of overlays in a bundle's ``configs/ablations``, ``kappa_0.1`` one of ``kappa``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...configurations import ABLATIONS
from ...data.datalists import natural_key
from ...errors import InputError
from ...workflow import merged_config


def ablation_overlays(bundle: Path, ablation: str, configs: Sequence[str] = ()) -> list[str]:
    """List the overlays of an ablation, in natural order, without those that change nothing.

    Args:
        bundle: bundle folder.
        ablation: what its overlays' names begin with, such as ``kappa``.
        configs: overlays of train.yaml that they follow.

    Raises:
        InputError: the bundle has no such ablation.
    """
    names = sorted((path.stem for path in (bundle / "configs" / ABLATIONS).glob("*.yaml")), key=natural_key)
    chosen = [name for name in names if name.split("_")[0] == ablation]
    if not chosen:
        known = ", ".join(dict.fromkeys(name.split("_")[0] for name in names)) or "none"
        raise InputError(f"{bundle} has no ablation {ablation!r}; there are: {known}")
    base = merged_config(bundle, ["train", *configs])
    return [name for name in chosen if base | merged_config(bundle, [name]) != base]
