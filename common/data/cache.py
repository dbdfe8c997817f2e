"""Disk cache of prepared training volumes, keyed by what the files hold and by the transforms' parameters."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import math
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor, PersistentDataset
from monai.transforms import Compose, Transform
from monai.transforms.traits import RandomizableTrait
from tqdm import tqdm

from ..errors import InputError, one_line, root_cause, user_mistake
from ..files.checkpoints import read_checkpoint
from ..files.hashing import hash_files
from ..files.writing import write_bytes
from ..speed.ranks import rank_and_size, wait_for_others
from ..speed.workers import in_workers
from .fingerprint import fingerprint

logger = logging.getLogger(__name__)


class VolumeCache(PersistentDataset):
    """MONAI PersistentDataset whose keys see file contents and parameters, and which ``fill()`` computes in parallel.

    MONAI's own keys see the path only, and its first read returns more metadata than every later one. Here an item is
    always the same plain dictionary: the transforms' tensors without metadata (floating point as float32), ``affine``
    ``(4, 4)`` float64 of the prepared image, ``subject`` and ``filename``.

    Args:
        data: items such as ``{"image": path, "label": path, "subject": name}``.
        transform: deterministic MONAI transforms. Their parameters are taken now, so pass them unused: some change
            when they are called. A class attribute ``algorithm_version`` marks a change of code.
        cache_dir: folder of the cache, made where missing; several datasets may share it.
        num_workers: processes of ``fill()``; None: the cores, shared among the ranks; 0 or 1: this process.
        progress: show a bar while filling.

    Raises:
        InputError: a transform is random, is not a MONAI transform or cannot be pickled, or ``cache_dir`` is a file.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Compose | Sequence[Callable[..., Any]],
        cache_dir: str | Path,
        num_workers: int | None = None,
        progress: bool = True,
    ) -> None:
        folder = Path(cache_dir).expanduser().absolute()
        if folder.exists() and not folder.is_dir():
            raise InputError(f"cache_dir {folder} is a file: set it to a folder")
        super().__init__(data=data, transform=transform, cache_dir=folder)
        self.folder = folder
        self.num_workers = num_workers
        self.progress = progress
        self.transform_hash = _hash_transforms(self.transform)
        self._pickled_transform = pickle.dumps(self.transform)
        self._paths: dict[int, Path] = {}
        self._verified: set[Path] = set()

    def fill(self) -> None:
        """Compute and store what is missing; continues where an interrupted run stopped.

        Under ``torch.distributed`` every rank computes its share (item i belongs to rank i mod world size), and all
        leave together.

        Raises:
            InputError: an item is bad input; the message names its file.
            RuntimeError: an item could not be prepared for another reason, or a worker process died.
            OSError: the disk is full; nothing half-written stays behind.
        """
        rank, world_size = rank_and_size()
        missing = [index for index in range(rank, len(self.data), world_size) if not self.path(index).is_file()]
        with tqdm(total=len(missing), desc="preparing volumes", disable=not (self.progress and missing)) as bar:
            for _ in self._compute(missing, max(1, (os.cpu_count() or 1) // world_size)):
                bar.update()
        wait_for_others()

    def path(self, index: int) -> Path:
        """File that holds item ``index``; its name is the key."""
        if index not in self._paths:
            self._paths[index] = self.folder / f"{_hash_item(self.data[index], self.transform_hash)}.pt"
        return self._paths[index]

    def key(self) -> str:
        """Name the content of all items, in order."""
        return " ".join(self.path(index).stem for index in range(len(self.data)))

    def fingerprint(self) -> dict[str, Any]:
        """Describe the scans, see ``fingerprint``; empty where there are none."""
        return fingerprint([item["image"] for item in self.data]) if self.data else {}

    def set_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Change the items; the files stay, since a key never goes stale."""
        self.data = data
        self._paths = {}

    def on(self, data: Sequence[Mapping[str, Any]]) -> VolumeCache:
        """Return the same cache for other items.

        Args:
            data: the items.
        """
        other = copy(self)
        other.set_data(data)
        return other

    def _transform(self, index: int) -> dict[str, Any]:
        path, item = self.path(index), self.data[index]
        stored = self._stored(path)
        if stored is None:
            _prepare(pickle.loads(self._pickled_transform), item, path, remaining=1)
            stored = read_checkpoint(path)
        # Strings come from the item: the same scan may lie in another folder today.
        strings = {key: item[key] for key, value in stored.items() if isinstance(value, str) and key in item}
        return {**stored, **strings, "filename": str(item["image"])} if "image" in item else {**stored, **strings}

    def _stored(self, path: Path) -> dict[str, Any] | None:
        """Read what is stored; None where that is nothing, or damaged. Its checksums are verified once per process."""
        if not path.is_file():
            return None
        try:
            stored: Any = read_checkpoint(path, verify=path not in self._verified)
        except InputError:
            logger.warning(f"{path}: this prepared volume is damaged; it is made again")
            return None
        self._verified.add(path)
        return dict(stored)

    def _compute(self, missing: Sequence[int], cores: int) -> Iterator[None]:
        jobs = [(self.data[index], self.path(index), len(missing) - done) for done, index in enumerate(missing)]
        workers = min(len(jobs), cores if self.num_workers is None else self.num_workers)
        # A daemonic process may not have children.
        if workers <= 1 or multiprocessing.current_process().daemon:
            transform = pickle.loads(self._pickled_transform)
            for job in jobs:
                _prepare(transform, *job)
                yield
            return
        yield from in_workers(_prepare_in_worker, jobs, workers, _start_worker, (self._pickled_transform,))


def intensity_statistics(dataset: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Mean and population standard deviation over all voxels of all images, summed in float64.

    Args:
        dataset: items with a tensor or array of any shape under ``image``, for example a ``VolumeCache``.

    Raises:
        InputError: the dataset is empty.
    """
    volumes = (torch.as_tensor(item["image"]).double() for item in dataset)
    found = [(volume.numel(), float(volume.mean()), float(volume.var(correction=0))) for volume in volumes]
    if not found:
        raise InputError("intensity statistics need at least one image, the dataset is empty")
    sizes, means, variances = np.transpose(found)
    mean = np.average(means, weights=sizes)
    return float(mean), math.sqrt(np.average(variances + (means - mean) ** 2, weights=sizes))


def _hash_transforms(compose: Compose) -> str:
    digest = hashlib.sha256(repr(compose.lazy).encode())
    for transform in compose.flatten().transforms:
        name = type(transform).__name__
        if isinstance(transform, RandomizableTrait) or not isinstance(transform, Transform):
            raise InputError(f"the cache takes deterministic MONAI transforms, got {name}: apply it after loading")
        buffer = io.BytesIO()
        # Without the memo equal parameters give equal bytes, whether or not they are one object.
        pickler = pickle.Pickler(buffer, protocol=4)
        pickler.fast = True
        try:
            pickler.dump(transform)
        except (pickle.PicklingError, AttributeError, TypeError, RecursionError, ValueError) as error:
            raise InputError(
                f"{name} cannot be pickled ({one_line(error)}): use named functions instead of lambdas"
            ) from error
        digest.update(buffer.getvalue())
        digest.update(repr(getattr(transform, "algorithm_version", None)).encode())
    return digest.hexdigest()


def _hash_item(item: Mapping[str, Any], transform_hash: str) -> str:
    digest = hashlib.sha256(transform_hash.encode())
    for key in sorted(item):
        digest.update(f"\0{key}\0".encode())
        values = item[key] if isinstance(item[key], list | tuple) else [item[key]]
        for value in values:
            # A subject may be called like a file in the working directory.
            is_path = key != "subject" and isinstance(value, str | os.PathLike) and Path(value).exists()
            digest.update(hash_files(Path(value)) if is_path else repr(value).encode())
    return digest.hexdigest()[:40]


def _prepare(transform: Compose, item: Mapping[str, Any], path: Path, remaining: int) -> None:
    """Transform one item and store it; ``remaining`` counts it and those after it, for the message of a full disk."""
    with _one_thread():
        try:
            prepared = _plain(transform(dict(item)))
        except Exception as error:
            source = item.get("image", item)
            mistake = user_mistake(error)
            if mistake is not None:
                raise InputError(f"{source} could not be prepared: {one_line(mistake)}") from error
            root = root_cause(error)
            raise RuntimeError(f"{source} could not be prepared: {type(root).__name__}: {one_line(root)}") from error
    _store(prepared, path, remaining)


def _store(prepared: dict[str, Any], path: Path, remaining: int) -> None:
    buffer = io.BytesIO()
    torch.save(prepared, buffer)
    try:
        write_bytes(path, buffer.getbuffer())
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        needed = remaining * buffer.getbuffer().nbytes / 2**20
        raise OSError(
            errno.ENOSPC,
            f"no space left in {path.parent}: {remaining} volumes need about {needed:.0f} MB; "
            "free space or set cache_dir to another disk",
        ) from error


def _plain(output: Any) -> dict[str, Any]:
    """Tensors without metadata, numbers and strings: what ``torch.load(weights_only=True)`` reads."""
    if not isinstance(output, Mapping):
        raise TypeError(f"the transforms must return one dictionary per item, got {type(output).__name__}")
    plain: dict[str, Any] = {}
    if isinstance(output.get("image"), MetaTensor):
        plain["affine"] = output["image"].affine.detach().cpu().double().clone()
    for key, value in output.items():
        if isinstance(value, torch.Tensor | np.ndarray | np.generic):
            tensor = value.as_tensor() if isinstance(value, MetaTensor) else torch.as_tensor(value)
            tensor = tensor.detach().cpu()
            tensor = tensor.float() if tensor.is_floating_point() else tensor
            # A copy, since a view would be saved with all of its storage.
            plain[key] = tensor.clone(memory_format=torch.contiguous_format)
        elif isinstance(value, str | int | float):
            plain[key] = value
        else:
            raise TypeError(f"{key!r} is a {type(value).__name__}: return tensors, arrays, numbers or strings")
    return plain


@contextmanager
def _one_thread() -> Iterator[None]:
    """Same bits in this process as in a worker: sums depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# The transforms of a worker process, unpickled once.
_worker_transform: list[Compose] = []


def _start_worker(pickled_transform: bytes) -> None:
    _worker_transform.append(pickle.loads(pickled_transform))
    torch.set_num_threads(1)


def _prepare_in_worker(item: Mapping[str, Any], path: Path, remaining: int) -> None:
    _prepare(_worker_transform[0], item, path, remaining)
