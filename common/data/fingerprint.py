"""What the scans of a training are like, stored with the weights: their spacing and intensities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .reading import read_scan

_SCANS = 10  # that are read
PERCENTILES = (0.5, 50, 99.5)
HOUNSFIELD = -500  # air in CT; MR has no such intensities


def fingerprint(images: Sequence[Any]) -> dict[str, Any]:
    """Describe scans by medians over at most ten of them, evenly chosen.

    Args:
        images: paths.

    Returns:
        ``scans``, their number; ``spacing`` in mm, smallest first; ``intensities``, the 0.5th, 50th and 99.5th
        percentile as stored.

    Raises:
        InputError: a scan cannot be used.
    """
    chosen = np.linspace(0, len(images) - 1, min(_SCANS, len(images))).round().astype(int)
    scans = [read_scan(images[number]) for number in chosen]
    spacings = [sorted(scan.pixdim.tolist()) for scan in scans]
    intensities = [np.percentile(scan.numpy(), PERCENTILES) for scan in scans]
    return {
        "scans": len(images),
        "spacing": np.round(np.median(spacings, axis=0), 4).tolist(),
        "intensities": np.round(np.median(intensities, axis=0), 4).tolist(),
    }
