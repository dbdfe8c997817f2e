"""Which slices make an episode: candidates with the probabilities of the published rejection loop, drawn directly."""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .pack import Pack

Pairing = Literal["adjacent", "same", "scans"]
AreaRule = Literal["first", "both"]


class Draw(NamedTuple):
    """Drawn episodes, arrays ``(n,)``: first and second slice, and the supervoxel that both hold."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    supervoxel: NDArray[np.int64]


class Candidates(NamedTuple):
    """Slice pairs to draw from; a draw takes a group uniformly, then a pair of that group by its probability.

    Attributes:
        first: ``(P,)`` slice whose area the released code tests.
        second: ``(P,)`` slice paired with it.
        supervoxel: ``(P,)`` number of the supervoxel that both hold, within its volume.
        cumulative: ``(P,)`` ascending: number of the pair's group, from 0, plus the distribution function in the group.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    supervoxel: NDArray[np.int64]
    cumulative: NDArray[np.float64]

    def draw(self, numbers: ArrayLike) -> Draw:
        """Turn uniform numbers into episodes by the inverse distribution function.

        Args:
            numbers: ``(n, 2 or more)`` in [0, 1): the choices of group and of pair.
        """
        choice, within = np.asarray(numbers, np.float64).T[:2]
        group = np.floor(choice * self.cumulative[-1])
        pair = np.searchsorted(self.cumulative, group + within, side="right")
        # The sum above may round up to the end of the last group.
        pair = np.minimum(pair, len(self.cumulative) - 1)
        return Draw(self.first[pair], self.second[pair], self.supervoxel[pair])


def find_candidates(
    pack: Pack,
    pairing: Pairing = "adjacent",
    min_area: int = 200,
    area_rule: AreaRule = "first",
    excluded_labels: tuple[int, ...] = (),
) -> Candidates:
    """List the pairs that the published loops accept, with the probabilities that these loops give them.

    ``adjacent`` (released ADNet code): a uniform volume; in it, until a pair is accepted, a uniform supervoxel on at
    least two usable slices and a uniform pair of neighbours in the list of these slices. Given the volume, an
    acceptable pair therefore has a probability proportional to 1 / (pairs of its supervoxel), whatever is rejected.
    ``same`` (released SSL-ALPNet code): a uniform slice and a uniform superpixel of it; both slices are the same one.

    Args:
        pack: the packed dataset.
        pairing: ``adjacent`` or ``same``.
        min_area: smallest area in pixels; 200 in ADNet, 1 in SSL-ALPNet.
        area_rule: slices on which ``min_area`` is asked for: the ``first`` of the pair (released ADNet code) or
            ``both`` (ADNet paper).
        excluded_labels: slices with a pixel of these labels are not used (setting 2).

    Raises:
        InputError: no pair is acceptable, or ``excluded_labels`` without label maps.
    """
    usable = pack.usable(excluded_labels)
    volume, supervoxel, slices, area = pack.occurrences[usable[pack.occurrences[:, 2]]].T
    if pairing == "same":
        first = second = np.arange(len(slices))
        weight = np.ones(len(slices))
        group = slices
    else:
        neighbours = (np.diff(volume) == 0) & (np.diff(supervoxel) == 0)
        first = np.flatnonzero(neighbours)
        second = first + 1
        names = np.stack([volume[first], supervoxel[first]])
        _, member, pairs = np.unique(names, axis=1, return_inverse=True, return_counts=True)
        weight = 1 / pairs[member]
        group = volume[first]
    accepted = area[first] >= min_area
    if area_rule == "both":
        accepted &= area[second] >= min_area
    if not accepted.any():
        largest = int(area.max()) if len(area) else 0
        raise InputError(
            f"no supervoxel makes an episode: min_area is {min_area} pixels, the largest area on a usable slice is "
            f"{largest}; lower min_area or make the supervoxels larger"
        )
    warn_unused(pack, volume[first[accepted]], f"min_area {min_area} pixels")
    order = np.flatnonzero(accepted)[np.argsort(group[accepted], kind="stable")]
    first, second = first[order], second[order]
    cumulative = _cumulative(group[order], weight[order])
    return Candidates(slices[first], slices[second], supervoxel[first], cumulative)


def warn_unused(pack: Pack, used: ArrayLike, minimum: str) -> None:
    """Warn of volumes that no episode is drawn from.

    Args:
        pack: the packed dataset.
        used: numbers of the volumes that episodes are drawn from.
        minimum: what an episode needs, for the message.
    """
    unused = np.setdiff1d(np.arange(len(pack.subjects)), used)
    if len(unused):
        names = ", ".join(pack.subjects[number] for number in unused)
        warnings.warn(
            f"{len(unused)} of {len(pack.subjects)} volumes have no supervoxel for an episode ({minimum}) and are "
            f"left out: {names}",
            stacklevel=3,
        )


def _cumulative(group: NDArray[np.int64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distribution functions of the groups, one after the other; ``group`` is ascending."""
    _, group, sizes = np.unique(group, return_inverse=True, return_counts=True)
    cumulative = np.cumsum(weight / np.bincount(group, weights=weight)[group])
    cumulative[np.cumsum(sizes) - 1] = np.arange(1, len(sizes) + 1)  # free of rounding
    return cumulative
