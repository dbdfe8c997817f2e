"""Slices and supervoxels of a training set, ready to be gathered on the training device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..speed.ranks import is_first, wait_for_others
from .pack import Pack, pack_volumes


class SliceStore:
    """All slices of a packed dataset; gathers batches of them on a device.

    Args:
        pack: the packed dataset.
        device: where batches are wanted.
        cache_bytes: the slices move to a device other than the CPU if they take no more than this; otherwise they stay
            in host memory or on disk, and each batch is transferred.
    """

    def __init__(self, pack: Pack, device: str | torch.device = "cpu", cache_bytes: int = 2**31) -> None:
        self.pack = pack
        self.device = torch.device(device)
        self._resident = pack.images.nbytes + pack.supervoxels.nbytes <= cache_bytes
        home = self.device if self._resident else torch.device("cpu")
        self.images = torch.from_numpy(pack.images)[:, None].to(home)
        self.supervoxels = torch.from_numpy(pack.supervoxels)[:, None].to(home)

    @classmethod
    def build(
        cls,
        dataset: Sequence[Mapping[str, Any]],
        pack_dir: str | Path | None = None,
        device: str | torch.device = "cpu",
        cache_bytes: int = 2**31,
    ) -> SliceStore:
        """Pack a dataset, in memory up to ``cache_bytes``, beyond that in ``pack_dir``; see ``pack_volumes``.

        Under ``torch.distributed`` the first rank packs, the others wait and open what it wrote.

        Args:
            dataset: its ``fill()``, if it has one, is called first; its ``key()`` names its content.
            pack_dir: folder of packs; None: always in memory.
            device: where batches are wanted.
            cache_bytes: of each process.
        """
        fill, key = getattr(dataset, "fill", None), getattr(dataset, "key", None)
        if fill is not None:
            fill()
        if pack_dir is None or _fits(dataset, cache_bytes):
            return cls(pack_volumes(dataset), device, cache_bytes)
        first = is_first()
        if not first:
            wait_for_others()
        pack = pack_volumes(dataset, pack_dir, key() if key is not None else None)
        if first:
            wait_for_others()
        return cls(pack, device, cache_bytes)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the slices in pixels."""
        return self.images.shape[2], self.images.shape[3]

    def gather(self, slices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Collect slices on the device, without waiting for it.

        Args:
            slices: slice numbers ``(n,)``.

        Returns:
            Images ``(n, 1, H, W)`` float32 and supervoxels ``(n, 1, H, W)`` int16.
        """
        index = torch.from_numpy(slices)
        if self._resident:
            index = send(index, self.device)
            return self.images.index_select(0, index), self.supervoxels.index_select(0, index)
        images, supervoxels = self.images.index_select(0, index), self.supervoxels.index_select(0, index)
        return send(images, self.device), send(supervoxels, self.device)


def _fits(dataset: Sequence[Mapping[str, Any]], cache_bytes: int) -> bool:
    """Tell whether a dataset packs into so many bytes; reads no more of it than that."""
    total = 0
    for index in range(len(dataset)):
        total += packed_bytes(dataset[index])
        if total > cache_bytes:
            return False
    return True


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor to a device; a copy to a GPU runs from pinned memory, so that the host does not wait.

    Args:
        tensor: tensor of any shape.
        device: target.
    """
    if device.type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def packed_bytes(item: Mapping[str, Any]) -> int:
    """Memory that a volume takes once packed: float32 and int16 per voxel of its ``image``; 0 where it has none."""
    size = np.dtype(np.float32).itemsize + np.dtype(np.int16).itemsize
    return int(np.prod(np.shape(item["image"]))) * size if "image" in item else 0
