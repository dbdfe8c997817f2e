"""Say in a line what a person should look at: an odd answer, a support or a training unlike the query."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from ..data.fingerprint import HOUNSFIELD, PERCENTILES
from ..data.looks import body_width, some_values, unlikeness
from ..data.reading import file_name

logger = logging.getLogger(__name__)

NEARLY_ALL = 0.8  # of the scan's voxels
WIDTHS = 1.2  # a body may be that much smaller or larger than all known ones
IN_PLANE, ACROSS = 3.0, 10.0  # factors between the voxel sizes of support and query
# In standard deviations. Abdominal MR of one kind differs by up to 0.2, of other organs and scanners by 0.3, from CT by
# 0.6 and more.
FAR = 0.5


class WarnOfAnswerd(MapTransform):
    """Log a warning for each organ that was not found, and for one that fills nearly the whole scan.

    Args:
        keys: keys of label maps ``(1, X, Y, Z)``; ``image`` is the query, whose meta holds ``support_organs``.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged."""
        image = data["image"]
        for key in self.key_iterator(data):
            label = data[key].as_tensor() if isinstance(data[key], MetaTensor) else data[key]
            for organ in torch.as_tensor(image.meta["support_organs"]).flatten().tolist():
                share = float((label == organ).float().mean())
                if share == 0:
                    logger.warning("%s: organ %d was not found", file_name(image), organ)
                elif share > NEARLY_ALL:
                    logger.warning("%s: organ %d fills %.0f %% of the scan", file_name(image), organ, 100 * share)
        return dict(data)


class WarnUnlikeTrainingd(MapTransform):
    """Warn of a scan whose intensities are of another kind than those of the training: CT in HU, or not.

    Args:
        keys: keys of loaded scans ``(1, X, Y, Z)``.
        trained_on: see ``fingerprint``.
    """

    def __init__(self, keys: KeysCollection, trained_on: Mapping[str, Any]) -> None:
        super().__init__(keys)
        self.intensities = [float(value) for value in trained_on["intensities"]]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged."""
        for key in self.key_iterator(data):
            low = float(np.percentile(data[key].numpy(force=True), PERCENTILES[0]))
            if (low < HOUNSFIELD) != (self.intensities[0] < HOUNSFIELD):
                logger.warning(
                    "%s: intensities begin at %.4g, those of the training at %.4g; one of them is CT in HU, the other "
                    "is not, so do not trust the result",
                    file_name(data[key]),
                    low,
                    self.intensities[0],
                )
        return dict(data)


class WarnUnlikeKnownd(MapTransform):
    """Warn of a scan that looks like none of the computer-drawn scans that the weights were trained on.

    Args:
        keys: keys of prepared scans ``(1, X, Y, Z)``.
        known: see ``known_looks``.
        allow_missing_keys: skip keys that are absent.
    """

    def __init__(self, keys: KeysCollection, known: Mapping[str, Any], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.known = known

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged."""
        for key in self.key_iterator(data):
            image, (low, high) = data[key], self.known["widths"]
            unlike, width = unlikeness(image, self.known), body_width(image)
            reasons = []
            if unlike > 1:
                reasons.append(f"intensities and edges {unlike:.1f} times as far from all of them as they are apart")
            if not low / WIDTHS <= width <= high * WIDTHS:
                reasons.append(f"{width:.0f} mm of body, theirs have {low:.0f} to {high:.0f}")
            if reasons:
                logger.warning(
                    "%s: unlike the computer-drawn scans that these weights know (%s); train on your own scans, in "
                    "minutes: fewshot train --bundle BUNDLE --data FOLDER",
                    file_name(image),
                    "; ".join(reasons),
                )
        return dict(data)


def warn_if_unlike(query: MetaTensor, support: MetaTensor) -> None:
    """Log a warning where voxel sizes or intensities of a support lie far from the query's.

    Args:
        query: preprocessed ``(1, X, Y, Z)``, its meta with the stored affine.
        support: likewise; its slices may be others.
    """
    if not all("original_affine" in volume.meta for volume in (query, support)):
        return  # not read from files
    names = f"{file_name(support)} and {file_name(query)}"
    sizes = [_voxel_size(volume) for volume in (support, query)]
    factors = torch.maximum(sizes[0] / sizes[1], sizes[1] / sizes[0])
    if bool((factors > torch.tensor([IN_PLANE, IN_PLANE, ACROSS])).any()):
        texts = [" x ".join(f"{value:.3g}" for value in size.tolist()) for size in sizes]
        logger.warning("%s: voxels of %s and %s mm, so support and query look different", names, *texts)
    distance = intensity_distance(support.as_tensor(), query.as_tensor())
    if distance > FAR:
        logger.warning(
            "%s: intensities differ (%.2f deviations, alike are below %.1f); take a support of the same kind of scan",
            names,
            distance,
            FAR,
        )


def intensity_distance(one: Tensor, other: Tensor) -> float:
    """Mean distance between the quantiles of two normalised volumes of any shape."""
    levels = torch.linspace(0.02, 0.98, 49)
    low, high = (torch.quantile(some_values(volume), levels) for volume in (one, other))
    return float((low - high).abs().mean())


def _voxel_size(volume: MetaTensor) -> Tensor:
    """Stored voxel size in mm ``(3,)`` in the order of the volume's own axes."""
    stored, prepared = (
        torch.as_tensor(a).reshape(4, 4).double()[:3, :3] for a in (volume.meta["original_affine"], volume.affine)
    )
    spacing = stored.norm(dim=0)
    along = (prepared / prepared.norm(dim=0)).T @ (stored / spacing)
    return spacing[along.abs().argmax(dim=1)]
