"""Preparing scans while others are segmented."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import torch
from monai.data import Dataset, MetaTensor

from ..errors import one_line, user_mistake
from .background import in_background

logger = logging.getLogger(__name__)
FAILURE = "failure"  # key of an item that could not be prepared: the one line


class ReadAheadDataset(Dataset):
    """MONAI dataset whose next items are prepared in the background while the present one is used.

    Args:
        data: items.
        transform: deterministic transforms.
        ahead: items prepared beyond the one asked for; as many are held in memory.
        support: transform that attaches to an item what all share. Where given, an item that a person's mistake keeps
            from being prepared comes as it is, with the one line under ``FAILURE``; a fault of the support is raised.
    """

    def __init__(
        self,
        data: Sequence[Any],
        transform: Callable[..., Any] | None = None,
        ahead: int = 1,
        support: Callable[..., Any] | None = None,
    ) -> None:
        super().__init__(data, transform)
        self.ahead = ahead
        self.support = support
        self._prepared: dict[tuple[int, int], Future[Any]] = {}

    def _transform(self, index: int) -> Any:
        # Named by the process too: a forked one inherits the dictionary, not the thread that would fill it.
        wanted = [
            (os.getpid(), number) for number in [index, *range(index + 1, min(index + 1 + self.ahead, len(self)))]
        ]
        self._prepared = {name: item for name, item in self._prepared.items() if name in wanted}
        for name in wanted:
            if name not in self._prepared:
                self._prepared[name] = in_background(self._prepare, name[1])
        return self._prepared.pop(wanted[0]).result()

    def _prepare(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except Exception as error:
            failure = None if self.support is None else _failure_of(error, self.data[index])
            if self.support is None or failure is None:
                raise
            logger.debug("traceback of a scan's failure", exc_info=error)
            self.support({"image": MetaTensor(torch.zeros(1))})  # is it the scan?
            return failure


def _failure_of(error: Exception, item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what stands for an item that a person's mistake keeps from being prepared; None for other errors."""
    mistake = user_mistake(error)
    return None if mistake is None else {**item, FAILURE: one_line(mistake)}
