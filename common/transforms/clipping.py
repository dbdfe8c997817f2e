"""Clipping at a percentile of the scan, once: a scan that was prepared so is left as it is."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.transforms import ClipIntensityPercentiles, MapTransform, ScaleIntensityRange

from ..data.clipped import is_clipped
from ..data.fingerprint import HOUNSFIELD


class ClipTopd(MapTransform):
    """Clip images above a percentile of their voxels, unless they are clipped there already.

    A second clip is lower than the first, since the percentile of clipped voxels is; it would change superpixels.

    Args:
        keys: keys of images ``(1, X, Y, Z)``.
        upper: percentile.
        measured_on: key of the volume whose percentile counts, and which is clipped too; None: each image's own.
        hounsfield_window: two HU that become 0 and 255, those beyond clipped, in images that are CT in HU; None: CT is
            clipped as everything is.
    """

    def __init__(
        self, keys: str, upper: float, measured_on: str | None = None, hounsfield_window: Sequence[float] | None = None
    ) -> None:
        super().__init__(keys)
        self.upper = upper
        self.measured_on = measured_on
        self.clip = ClipIntensityPercentiles(lower=None, upper=upper)
        self.window = None
        if hounsfield_window is not None:
            self.window = ScaleIntensityRange(*hounsfield_window, b_min=0, b_max=255, clip=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with clipped images."""
        d = dict(data)
        for key in self.key_iterator(d):
            measured = d[self.measured_on or key]
            if self.window is not None and float(measured.min()) < HOUNSFIELD:
                for name in {key, self.measured_on or key}:
                    d[name] = self.window(d[name])
            elif is_clipped(d[key], self.upper):
                continue
            elif self.measured_on is None:
                d[key] = self.clip(d[key])
            else:
                d[self.measured_on] = self.clip(d[self.measured_on])
                d[key] = d[key].clamp(max=d[self.measured_on].max())
        return d
