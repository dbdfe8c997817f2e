"""Pairs of rows of a table, drawn directly: one by its probability, its partner uniformly from a run of rows."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .pack import Pack

Numbers = NDArray[np.int64]


class Partners(NamedTuple):
    """Rows `0` to `P - 1` to draw, and the run of rows that each is paired with.

    Attributes:
        cumulative: `(P,)` distribution function of the rows.
        begin: `(P,)` first row of the run.
        count: `(P,)` rows of the run, without the gap.
        gap: `(P,)` first row that the run leaves out.
        gap_count: `(P,)` rows that it leaves out; 0: none.
    """

    cumulative: NDArray[np.float64]
    begin: Numbers
    count: Numbers
    gap: Numbers
    gap_count: Numbers

    def draw(self, numbers: ArrayLike) -> tuple[Numbers, Numbers]:
        """Turn uniform numbers into pairs by the inverse distribution functions.

        Args:
            numbers: `(n, 2)` in [0, 1): the choices of row and of partner.

        Returns:
            Row and partner `(n,)`.
        """
        choice, within = np.asarray(numbers, np.float64).T
        row = np.searchsorted(self.cumulative, choice, side="right")
        partner = self.begin[row] + np.floor(within * self.count[row]).astype(np.int64)
        return row, partner + np.where(partner >= self.gap[row], self.gap_count[row], 0)


def within_run(probability: NDArray[np.float64], begin: Numbers, count: Numbers) -> Partners:
    """Pair each row with the rows of one run.

    Args:
        probability: `(P,)` of the rows, their sum is 1.
        begin: `(P,)` first row of the run.
        count: `(P,)` rows of the run.
    """
    return Partners(_distribution(probability), begin, count, begin, np.zeros_like(begin))


def across_volumes(probability: NDArray[np.float64], name: Numbers, volume: Numbers) -> Partners:
    """Pair each row with the rows of the same name in other volumes.

    Args:
        probability: `(P,)` of the rows, their sum is 1.
        name: `(P,)`, for instance the label value; ascending, each in two volumes or more.
        volume: `(P,)`, ascending among rows of one name.
    """
    begin, count = runs(name)
    gap, gap_count = runs(name, volume)
    return Partners(_distribution(probability), begin, count - gap_count, gap, gap_count)


def runs(*columns: Numbers) -> tuple[Numbers, Numbers]:
    """Find the runs of equal rows in an ascending table.

    Args:
        columns: `(P,)` each, the first one is the first to sort by.

    Returns:
        First row and length `(P,)` of the run that each row belongs to.
    """
    _, member, count = np.unique(np.stack(columns), axis=1, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - count)[member], count[member]


def in_two_volumes(pack: Pack, label: Numbers, volume: Numbers, smallest: str) -> NDArray[np.bool_]:
    """Tell which rows have a label that is found in two volumes or more; name the others in a warning.

    Args:
        pack: the packed dataset, label values as its supervoxels.
        label: `(P,)`.
        volume: `(P,)`.
        smallest: what a row needs, for messages.

    Returns:
        `(P,)`.

    Raises:
        InputError: no label is left, or label values did not fit into the pack.
    """
    renumbered = [name for name, changed in zip(pack.subjects, pack.renumbered, strict=True) if changed]
    if renumbered:
        raise InputError(
            f"{renumbered[0]}: has label values above {np.iinfo(np.int16).max}, which pairing scans cannot tell apart; "
            "give the labels smaller values"
        )
    values, volumes = np.unique(np.unique(np.stack([label, volume]), axis=1)[0], return_counts=True)
    left_out = values[volumes < 2]
    if len(left_out) == len(values):
        raise InputError(
            f"no label is found in two volumes ({smallest}), pairing scans needs one; labels found in one of "
            f"{len(pack.subjects)}: {left_out.tolist()}; add annotated scans or train on labels that more of them show"
        )
    if len(left_out):
        warnings.warn(
            f"labels {left_out.tolist()} are found in one volume only ({smallest}) and are left out", stacklevel=4
        )
    return ~np.isin(label, left_out)


def warn_unused(pack: Pack, used: Numbers, smallest: str) -> None:
    """Warn of volumes that no episode is drawn from.

    Args:
        pack: the packed dataset.
        used: numbers of the volumes that episodes are drawn from.
        smallest: what an episode needs, for the message.
    """
    unused = np.setdiff1d(np.arange(len(pack.subjects)), used)
    if len(unused):
        names = ", ".join(pack.subjects[number] for number in unused)
        warnings.warn(
            f"{len(unused)} of {len(pack.subjects)} volumes have no supervoxel for an episode ({smallest}) and are "
            f"left out: {names}",
            stacklevel=4,
        )


def _distribution(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    cumulative = np.cumsum(probability)
    # Free of rounding; rows without probability at the end stay out of reach.
    cumulative[np.flatnonzero(probability)[-1] :] = 1
    return cumulative
