"""Preparing scans while others are segmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from monai.data import Dataset

from ..background import in_background


class ReadAheadDataset(Dataset):
    """MONAI dataset whose next items are prepared in the background while the present one is used.

    Args:
        data: items.
        transform: deterministic transforms.
        ahead: items prepared beyond the one asked for; as many are held in memory.
    """

    def __init__(self, data: Sequence[Any], transform: Callable[..., Any] | None = None, ahead: int = 1) -> None:
        super().__init__(data, transform)
        self.ahead = ahead
        self._prepared: dict[int, Future[Any]] = {}

    def _transform(self, index: int) -> Any:
        for number in [index, *range(index + 1, min(index + 1 + self.ahead, len(self)))]:
            if number not in self._prepared:
                self._prepared[number] = in_background(super()._transform, number)
        return self._prepared.pop(index).result()
