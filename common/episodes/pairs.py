"""Pairs of images that episodes are made of, and what a source of them gives to a loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from .store import SliceStore


class Pairs(NamedTuple):
    """``B`` queries and, behind them, their ``B`` supports: both are then contiguous, and row b + B goes with row b.

    Attributes:
        image: ``(2 B, 1, *S)`` float32 on the device.
        supervoxels: ``(2 B, 1, *S)`` int16 on the device.
        wanted: ``(2 B,)`` number of the supervoxel, or of the organ, in each.
        place: of windows in these volumes, see ``VolumeAugmentation.change_geometry``; empty: whole images.
    """

    image: Tensor
    supervoxels: Tensor
    wanted: NDArray[np.integer]
    place: dict[str, Any]


DrawPairs = Callable[[NDArray[np.float64]], Pairs]


class PairSource(Protocol):
    """Says which two images make an episode.

    Attributes:
        numbers: uniform numbers of an episode.
        sides: which two of them say whose intensity and whose geometry changes.
    """

    numbers: int
    sides: slice

    def find(self, store: SliceStore) -> DrawPairs:
        """Find all pairs of a training set.

        Args:
            store: the packed volumes.

        Returns:
            A function that turns uniform numbers ``(B, numbers)`` in [0, 1) into pairs.

        Raises:
            InputError: there are none, or the volumes do not fit the options.
        """
        ...


def check_choice(name: str, value: str, choices: Any) -> None:
    """Refuse an unknown choice.

    Args:
        name: of the option.
        value: its value.
        choices: ``Literal`` type of the values that there are.

    Raises:
        InputError: ``value`` is none of ``choices``.
    """
    if value not in get_args(choices):
        raise InputError(f"{name} must be one of {', '.join(get_args(choices))}, got {value!r}")


def check_probability(name: str, value: float) -> None:
    """Refuse what is no probability.

    Args:
        name: of the option.
        value: its value.

    Raises:
        InputError: ``value`` is not in [0, 1].
    """
    if not 0 <= value <= 1:
        raise InputError(f"{name} must lie in [0, 1], got {value}")
