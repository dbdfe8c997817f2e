"""Preparing scans while others are segmented."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from monai.data import Dataset


class ReadAheadDataset(Dataset):
    """MONAI dataset whose next items are prepared in threads while the present one is used.

    Args:
        data: items.
        transform: deterministic transforms, safe to run at the same time on different items.
        ahead: items prepared beyond the one asked for; as many are held in memory.
    """

    def __init__(self, data: Sequence[Any], transform: Callable[..., Any] | None = None, ahead: int = 2) -> None:
        super().__init__(data, transform)
        self.ahead = ahead
        self._prepared: dict[int, Future[Any]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def _transform(self, index: int) -> Any:
        self._pool = self._pool or ThreadPoolExecutor(1 + self.ahead)
        for number in range(index, min(index + 1 + self.ahead, len(self))):
            if number not in self._prepared:
                self._prepared[number] = self._pool.submit(super()._transform, number)
        return self._prepared.pop(index).result()
