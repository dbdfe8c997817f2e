"""Which slices make a labelled episode: one organ in two different scans."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .pack import Pack
from .partners import Partners, across_volumes, in_two_volumes, runs, warn_unused
from .sampling import Draw


class LabelledCandidates(NamedTuple):
    """Slices to draw from.

    Attributes:
        slices: `(P,)` slice numbers.
        label: `(P,)` label value that the slice shows.
        partners: which two make an episode.
    """

    slices: NDArray[np.int64]
    label: NDArray[np.int64]
    partners: Partners

    def draw(self, numbers: ArrayLike) -> Draw:
        """Turn uniform numbers `(n, 2)` in [0, 1) into episodes; the first slice is the query."""
        first, second = self.partners.draw(numbers)
        return Draw(self.slices[first], self.slices[second], self.label[first])


def find_labelled(pack: Pack, min_area: int = 200, excluded_labels: tuple[int, ...] = ()) -> LabelledCandidates:
    """List the slices of labels, with the probabilities of SE-Net's released code.

    A draw takes a label with a probability proportional to `1 - fraction of the slices that show it`, a uniform slice
    of it, and a uniform slice of it among those of other volumes; SE-Net's two slices may be of the same volume.

    Args:
        pack: the packed dataset, label values as its supervoxels.
        min_area: smallest area in pixels on either slice.
        excluded_labels: slices with a pixel of these labels are not used (setting 2).

    Raises:
        InputError: no label is found in two volumes, or `excluded_labels` without label maps.
    """
    usable = pack.usable(excluded_labels)
    volume, label, slices, area = pack.occurrences[usable[pack.occurrences[:, 2]]].T
    values, shown = np.unique(label, return_counts=True)
    order = np.lexsort((slices, volume, label))
    order = order[area[order] >= min_area]
    smallest = f"min_area {min_area} pixels"
    if len(order) == 0:
        raise InputError(
            f"no label makes an episode: min_area is {min_area} pixels, the largest area on a usable slice is "
            f"{int(area.max(initial=0))}; lower min_area or train on other labels"
        )
    order = order[in_two_volumes(pack, label[order], volume[order], smallest)]
    volume, label, slices = volume[order], label[order], slices[order]
    warn_unused(pack, volume, smallest)
    weight = (1 - shown / np.count_nonzero(usable))[np.searchsorted(values, label)]
    if not weight.any():
        # Every slice shows every label, which leaves none by the rule.
        weight = np.ones_like(weight)
    weight = weight / runs(label)[1]
    return LabelledCandidates(slices, label, across_volumes(weight / weight.sum(), label, volume))
