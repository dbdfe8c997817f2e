"""Pairs of slices that show one supervoxel or annotated organ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .labelled import LabelledCandidates, find_labelled
from .pairs import DrawPairs, Pairs, check_choice, check_probability
from .sampling import AreaRule, Candidates, Pairing, find_candidates
from .store import SliceStore


class SlicePairs:
    """Source of pairs of slices (ADNet, SSL-ALPNet; with annotated organs LSNet).

    Args:
        pairing: ``adjacent`` or ``same``, see ``find_candidates``, or ``scans``, see ``find_labelled``.
        min_area: smallest area in pixels.
        min_area_rule: slices on which ``min_area`` is asked for, see ``find_candidates``.
        excluded_labels: slices with a pixel of these label values are not used (setting 2).
        swap_probability: probability that the first slice is the query instead of the support.

    Raises:
        InputError: an option is out of its range.
    """

    numbers, sides = 5, slice(3, 5)

    def __init__(
        self,
        pairing: Pairing = "adjacent",
        min_area: int = 200,
        min_area_rule: AreaRule = "first",
        excluded_labels: Sequence[int] = (),
        swap_probability: float = 0.5,
    ) -> None:
        check_choice("pairing", pairing, Pairing)
        check_choice("min_area_rule", min_area_rule, AreaRule)
        check_probability("swap_probability", swap_probability)
        if min_area < 1:
            raise InputError(f"min_area must be 1 or more, got {min_area}")
        self.pairing: Pairing = pairing
        self.min_area = min_area
        self.min_area_rule: AreaRule = min_area_rule
        self.excluded_labels = tuple(excluded_labels)
        self.swap_probability = swap_probability

    def find(self, store: SliceStore) -> DrawPairs:
        """Find all pairs, see ``PairSource``."""
        candidates: Candidates | LabelledCandidates
        if self.pairing == "scans":
            candidates = find_labelled(store.pack, self.min_area, self.excluded_labels)
        else:
            candidates = find_candidates(
                store.pack, self.pairing, self.min_area, self.min_area_rule, self.excluded_labels
            )

        def draw(uniform: NDArray[np.float64]) -> Pairs:
            first, second, supervoxel = candidates.draw(uniform[:, :3])
            # Labelled pairs are drawn with a third number, and both orders alike: nothing is swapped.
            swap = (uniform[:, 2] < self.swap_probability) & (self.pairing != "scans")
            query, support = np.where(swap, first, second), np.where(swap, second, first)
            return Pairs(*store.gather(np.concatenate([query, support])), np.tile(supervoxel, 2), {})

        return draw
