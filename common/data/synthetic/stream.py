"""Training volumes without end, drawn by a process of their own while the network trains on earlier ones."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from ..looks import known_looks
from .scans import FAMILIES, PHANTOM, SyntheticScan, draw_scan

Items = list[dict[str, Any]]


class SyntheticScans:
    """Chapters of synthetic volumes; an episode belongs to the chapter of its number, so that no scan comes twice.

    A chapter does not depend on who asks for it, nor on the others: a training that goes on finds the same volumes.

    Args:
        transform: the bundle's steps of preprocessing, the first of which reads a file and is left out here.
        seed: of the scans.
        volumes: scans of a chapter.
        episodes: that are drawn from a chapter.
        sizes: smallest and largest factor of the transform's ``min_size`` of supervoxels; each scan has its own, evenly
            in the logarithm; the largest for the phantom's subjects.
        looks: scans of each family that ``fingerprint`` describes; 0: none.
    """

    def __init__(
        self,
        transform: Compose,
        seed: int = 0,
        volumes: int = 16,
        episodes: int = 256,
        sizes: Sequence[float] = (0.2, 1.2),
        looks: int = 3,
    ) -> None:
        self.transform = pickle.dumps(Compose(transform.transforms[1:]))
        self.seed = seed
        self.volumes = volumes
        self.chapter_episodes = episodes
        self.sizes = tuple(sizes)
        self.looks = looks
        self.data: Items = []  # nothing that lies on a disk
        self._worker: ProcessPoolExecutor | None = None
        self._drawn: dict[int, Future[Items]] = {}

    def fill(self) -> None:
        """Begin with the first chapter."""
        self._draw(0)

    def chapter(self, number: int) -> Items:
        """Give the volumes of a chapter, and have the next one drawn.

        Args:
            number: from 0 up.

        Returns:
            Items, see ``prepare_scan``.
        """
        items = self._draw(number).result()
        self._drawn = {key: value for key, value in self._drawn.items() if key >= number}
        self._draw(number + 1)
        return items

    def fingerprint(self) -> dict[str, Any]:
        """Describe some scans of every family, see ``known_looks``; they are none of a training's."""
        transform = pickle.loads(self.transform)
        transform.transforms = [step for step in transform.transforms if not hasattr(step, "min_size")]
        kinds = [family for family in (PHANTOM, *FAMILIES) for _ in range(self.looks)]
        scans = ((number, family) for number, family in enumerate(kinds))
        images = (_bring(transform, draw_scan(self.seed + 1, *scan))["image"] for scan in scans)
        return known_looks(images) if kinds else {}

    def close(self) -> None:
        """End the process that draws."""
        if self._worker is not None:
            self._worker.shutdown(cancel_futures=True)
            self._worker = None
        self._drawn = {}

    def __enter__(self) -> SyntheticScans:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draw(self, number: int) -> Future[Items]:
        if self._worker is None:  # spawned: the parent has threads
            self._worker = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        if number not in self._drawn:
            scans = range(number * self.volumes, (number + 1) * self.volumes)
            self._drawn[number] = self._worker.submit(_prepare, self.transform, self.seed, scans, self.sizes)
        return self._drawn[number]


def prepare_scan(transform: Compose, seed: int, number: int, sizes: Sequence[float]) -> dict[str, Any]:
    """Draw a scan and bring it to the network's grid.

    Args:
        transform: steps of preprocessing after reading, supervoxels among them.
        seed: of the scans.
        number: of the scan.
        sizes: see ``SyntheticScans``.

    Returns:
        ``image`` ``(1, X, Y, Z)`` float32 and its ``affine``, what else the transform makes of it, and ``subject``.
    """
    scan = draw_scan(seed, number)
    steps = copy.deepcopy(transform)
    low, high = np.log(sizes)
    place = 1.0 if scan.family == PHANTOM else np.random.default_rng([seed, number, 1]).random()
    factor = float(np.exp(low + (high - low) * place))
    for step in steps.transforms:
        if hasattr(step, "min_size"):
            step.min_size = round(factor * step.min_size)
    item = _bring(steps, scan)
    plain = {key: value.as_tensor() for key, value in item.items() if isinstance(value, MetaTensor)}
    return {**plain, "affine": item["image"].affine, "subject": f"{scan.family} {number}"}


def _bring(steps: Compose, scan: SyntheticScan) -> Mapping[str, Any]:
    affine = torch.from_numpy(scan.affine)
    item: Mapping[str, Any] = steps({"image": MetaTensor(torch.from_numpy(scan.image[None]), affine=affine)})
    return item


def _prepare(pickled: bytes, seed: int, scans: range, sizes: Sequence[float]) -> Items:
    torch.set_num_threads(1)
    transform = pickle.loads(pickled)
    return [prepare_scan(transform, seed, number, sizes) for number in scans]
