"""Preparing scans while others are segmented."""

from __future__ import annotations

import os
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
        self._prepared: dict[tuple[int, int], Future[Any]] = {}

    def _transform(self, index: int) -> Any:
        # Named by the process too: a forked one inherits the dictionary, not the thread that would fill it.
        wanted = [
            (os.getpid(), number) for number in [index, *range(index + 1, min(index + 1 + self.ahead, len(self)))]
        ]
        self._prepared = {name: item for name, item in self._prepared.items() if name in wanted}
        for name in wanted:
            if name not in self._prepared:
                self._prepared[name] = in_background(super()._transform, name[1])
        return self._prepared.pop(wanted[0]).result()
