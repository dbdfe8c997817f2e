"""What the scans of a training are like, stored with the weights: their spacing and intensities."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from .reading import file_name, read_scan

logger = logging.getLogger(__name__)

_SCANS = 10  # that are read
_PERCENTILES = (0.5, 50, 99.5)
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
    intensities = [np.percentile(scan.numpy(), _PERCENTILES) for scan in scans]
    return {
        "scans": len(images),
        "spacing": np.round(np.median(spacings, axis=0), 4).tolist(),
        "intensities": np.round(np.median(intensities, axis=0), 4).tolist(),
    }


class WarnUnlikeTrainingd(MapTransform):
    """Warn of a scan whose intensities are of another kind than those of the training: CT in HU, or not.

    Args:
        keys: keys of loaded scans ``(1, X, Y, Z)``.
        trained_on: see ``fingerprint``.
        allow_missing_keys: skip keys that are absent.
    """

    def __init__(self, keys: KeysCollection, trained_on: Mapping[str, Any], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.intensities = [float(value) for value in trained_on["intensities"]]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged."""
        for key in self.key_iterator(data):
            low = float(np.percentile(data[key].numpy(force=True), _PERCENTILES[0]))
            if (low < HOUNSFIELD) != (self.intensities[0] < HOUNSFIELD):
                logger.warning(
                    "%s: intensities begin at %.4g, those of the training at %.4g; one of them is CT in HU, the other "
                    "is not, so do not trust the result",
                    file_name(data[key]),
                    low,
                    self.intensities[0],
                )
        return dict(data)
