"""Which slices make a labelled episode: one organ in two different scans."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .pack import Pack
from .sampling import Draw


class LabelledCandidates(NamedTuple):
    """Slices to draw from, in the order of label, volume and slice: ``P`` slices that show one of ``L`` labels.

    Attributes:
        slices: ``(P,)`` slice numbers.
        gap: ``(P,)`` first row of the same label and volume.
        gap_count: ``(P,)`` rows of the same label and volume.
        label: ``(L,)`` label values.
        cumulative: ``(L,)`` distribution function of the labels.
        begin: ``(L,)`` first row of the label.
        rows: ``(L,)`` rows of the label.
    """

    slices: NDArray[np.int64]
    gap: NDArray[np.int64]
    gap_count: NDArray[np.int64]
    label: NDArray[np.int64]
    cumulative: NDArray[np.float64]
    begin: NDArray[np.int64]
    rows: NDArray[np.int64]

    def draw(self, numbers: ArrayLike) -> Draw:
        """Turn uniform numbers into episodes by the inverse distribution functions.

        Args:
            numbers: ``(n, 3)`` in [0, 1): the choices of label, of its query and of its support slice.

        Returns:
            Supports as first slices, queries as second ones.
        """
        choice, own, other = np.asarray(numbers, np.float64).T
        label = np.searchsorted(self.cumulative, choice, side="right")
        query = self.begin[label] + np.floor(own * self.rows[label]).astype(np.int64)
        support = self.begin[label] + np.floor(other * (self.rows[label] - self.gap_count[query])).astype(np.int64)
        # The rows of the query's own volume are stepped over.
        support += np.where(support >= self.gap[query], self.gap_count[query], 0)
        return Draw(self.slices[support], self.slices[query], self.label[label])


def find_labelled(pack: Pack, min_area: int = 200, excluded_labels: tuple[int, ...] = ()) -> LabelledCandidates:
    """List the slices that show a label, with the probabilities of SE-Net's released code.

    A draw takes a label with a probability proportional to ``1 - fraction of the slices that show it``, a uniform slice
    of it, and a uniform slice of it among those of other volumes; SE-Net's two slices may be of the same volume.

    Args:
        pack: the packed dataset, label values as its supervoxels.
        min_area: area in pixels from which on a slice shows a label.
        excluded_labels: slices with a pixel of these labels are not used (setting 2).

    Raises:
        InputError: no label is found in two volumes, label values are too large, or ``excluded_labels`` without label
            maps.
    """
    usable = pack.usable(excluded_labels)
    shown = usable[pack.occurrences[:, 2]] & (pack.occurrences[:, 3] >= min_area)
    volume, value, slices, _ = pack.occurrences[shown].T
    kept = labels_of_two_scans(pack, value, volume, f"{min_area} pixels")
    order = np.lexsort((slices, volume, value))
    order = order[np.isin(value[order], kept)]
    labels, begin, count = np.unique(value[order], return_index=True, return_counts=True)
    _, gap, member, gap_count = np.unique(
        np.stack([value[order], volume[order]]), axis=1, return_index=True, return_inverse=True, return_counts=True
    )
    weight = 1 - count / np.count_nonzero(usable)
    if not weight.any():
        weight = np.ones(len(labels))  # every slice shows every label, which leaves none by the rule
    cumulative = np.cumsum(weight / weight.sum())
    # Free of rounding; labels without weight at the end stay out of reach.
    cumulative[np.flatnonzero(weight)[-1] :] = 1
    return LabelledCandidates(slices[order], gap[member], gap_count[member], labels, cumulative, begin, count)


def labels_of_two_scans(pack: Pack, label: ArrayLike, volume: ArrayLike, minimum: str) -> NDArray[np.int64]:
    """Give the label values that are in two volumes or more; name the others in a warning.

    Args:
        pack: the packed dataset, label values as its supervoxels.
        label: ``(n,)`` label values found.
        volume: ``(n,)`` numbers of the volumes that hold them.
        minimum: how much of a label counts, for messages.

    Returns:
        The values in ascending order.

    Raises:
        InputError: no label is found in two volumes, or label values are too large.
    """
    for subject, renumbered in zip(pack.subjects, pack.renumbered, strict=True):
        if renumbered:
            raise InputError(
                f"{subject}: has label values above {np.iinfo(np.int16).max}, which pairing scans cannot tell apart; "
                "give the labels smaller values"
            )
    found, volumes = np.unique(np.unique(np.stack([label, volume]), axis=1)[0], return_counts=True)
    left_out = found[volumes < 2].tolist()
    if len(left_out) == len(found):
        raise InputError(
            f"no label of {minimum} or more is in two training scans (found: {left_out}); "
            "pairing scans needs that: add annotated scans, train on other labels or lower this minimum"
        )
    if left_out:
        warnings.warn(
            f"label values {left_out} are in one training scan only (minimum {minimum}) and are left out", stacklevel=4
        )
    kept: NDArray[np.int64] = found[volumes >= 2]
    return kept
