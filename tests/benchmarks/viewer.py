"""Seconds until the napari plugin has an answer, without drawing it; ``python -m tests.benchmarks.viewer``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from common.tools.viewer.scans import Scan
from common.tools.viewer.session import Drawn, Session
from tests.benchmarks.data import smooth
from tests.benchmarks.measure import take_turns

BUNDLE = Path(__file__).parents[2] / "bundles" / "adnet"  # with the weights that come with it: the small encoder
SIZE = (256, 256, 36)
AFFINE = np.diag([-1.25, 1.25, 7.7, 1.0])


def measure(rounds: int = 5) -> dict[str, Any]:
    """Time the first answer, that after a stroke on the support, and that for another organ on another slice."""
    session = Session(BUNDLE)
    support, query = _scan(0), _scan(1)
    values = np.zeros(SIZE, np.int32)
    values[100:140, 100:140, 18] = 1
    turns = iter(range(10**6))

    def first() -> None:
        """A support and a scan that the session has not seen."""
        number = next(turns)
        session.segment(_scan(2 * number + 2), [_drawn(_scan(2 * number + 3), values)])

    def stroke() -> None:
        values[60 + next(turns) % 40, 60:90, 18] ^= 1
        session.segment(query, [_drawn(support, values)])

    def organ() -> None:
        other = np.zeros(SIZE, np.int32)
        other[150:180, 60:100, 5 + next(turns) % 25] = 2
        session.segment(query, [_drawn(support, other)])

    return {"size": SIZE, "seconds": take_turns({"first": first, "stroke": stroke, "organ": organ}, rounds)}


def _scan(seed: int) -> Scan:
    volume = (1000 + 300 * smooth(SIZE, seed)[0]).clamp(0).cpu()
    return Scan(MetaTensor(volume, torch.from_numpy(AFFINE), meta=_meta(f"scan {seed}")))


def _meta(name: str) -> dict[str, Any]:
    return {
        "filename_or_obj": name,
        "original_affine": AFFINE.copy(),
        "spatial_shape": np.asarray(SIZE),
        "space": "RAS",
    }


def _drawn(scan: Scan, values: np.ndarray) -> Drawn:
    return Drawn(scan, scan.label_map(values, "drawing"))


if __name__ == "__main__":
    print(json.dumps(measure()))
