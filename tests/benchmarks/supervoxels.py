"""Supervoxels: stages, growth with voxels, many volumes over processes; ``python -m tests.benchmarks.supervoxels``."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.transforms import LoadImaged
from numpy.typing import NDArray

from common.data import VolumeCache
from common.supervoxels import Supervoxelsd, graph
from common.supervoxels.foreground import foreground_mask, relabel_foreground
from tests.benchmarks.measure import peak_bytes, take_turns

SPACING, MIN_SIZE, ROUNDS = (7.7, 1.25, 1.25), 5000, 3
SHAPES = [(32, 192, 192), (64, 192, 192), (64, 384, 192), (64, 384, 384)]  # 1, 2, 4 and 8 times the voxels
VOLUMES = 1000


def measure() -> dict[str, Any]:
    """Times of one thread each."""
    torch.set_num_threads(1)
    images = {image.size // volume(SHAPES[0]).size: image for image in map(volume, SHAPES)}
    partition(images[1][:4])  # compiles
    growth = take_turns({str(n): lambda image=image: partition(image) for n, image in images.items()}, ROUNDS, 0)
    largest = images[8]
    return {
        "shape": SHAPES[-1],
        "growth": growth,
        "peak_bytes": peak_bytes(lambda: partition(largest)),
        "image_bytes": largest.nbytes,
        "stages": stages(largest),
        "pool": pool(),
    }


def volume(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """A body with organs and noise, intensities 0 to 255 in whole numbers, as scans have them."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij", sparse=True)
    image = np.random.default_rng(0).normal(0, 6, shape) + 60 * (x**2 + y**2 + 0.3 * z**2 < 0.8)
    image += 80 * ((x - 0.3) ** 2 + (y + 0.2) ** 2 + z**2 < 0.1) + 40 * ((x + 0.4) ** 2 + y**2 + z**2 < 0.15)
    image = np.rint(image + 20 * np.cos(3 * x + 2 * y + z)).clip(0, None)
    return 255 * image / image.max()


def partition(image: NDArray[np.float64]) -> NDArray[np.int32]:
    """What ADNet asks for."""
    return graph.felzenszwalb_3d(image, 1.0, 0.0, MIN_SIZE, SPACING)


def stages(image: NDArray[np.float64]) -> dict[str, float]:
    """Seconds of each stage of ``Supervoxelsd``."""
    seconds, multipliers = {}, graph.edge_multipliers(SPACING)

    def timed(name: str, function: Any) -> Any:
        start = time.perf_counter()
        result = function()
        seconds[name] = time.perf_counter() - start
        return result

    edges = timed("setting up", lambda: graph._Graph(np.ascontiguousarray(image), multipliers))
    timed("first pass", lambda: edges.join_similar(1.0 / 255))
    timed("second pass", lambda: edges.join_small(MIN_SIZE))
    labels = timed("numbering", edges.labels)
    mask = timed("body", lambda: foreground_mask(image.transpose(2, 1, 0)))
    timed("restriction to the body", lambda: relabel_foreground(labels.transpose(2, 1, 0), mask))
    return seconds


def pool() -> dict[str, Any]:
    """Prepare many volumes in one process and in one per core: which part of the cores' time is used."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = volume((30, 160, 160)).transpose(2, 1, 0).astype(np.float32)
        nib.save(nib.Nifti1Image(image, np.diag([1.25, 1.25, 7.7, 1])), folder / "scan.nii.gz")
        transforms = [
            LoadImaged("image", image_only=True, ensure_channel_first=True),
            Supervoxelsd("image", min_size=1000),
        ]

        def prepare(count: int, workers: int, cache: str) -> float:
            # Items differ by name only; each is computed.
            items = [{"image": str(folder / "scan.nii.gz"), "subject": f"{number}"} for number in range(count)]
            dataset = VolumeCache(items, transforms, folder / cache, workers, progress=False)
            dataset.path = lambda index: folder / cache / f"{index}.pt"
            start = time.perf_counter()
            dataset.fill()
            return time.perf_counter() - start

        few = VOLUMES // 10
        alone = prepare(few, 1, "alone") / few
        together = prepare(VOLUMES, cores, "together")
    return {
        "volumes": VOLUMES,
        "processes": cores,
        "seconds": together,
        "seconds_of_one_alone": alone,
        "share_of_cores": alone * VOLUMES / (together * cores),
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
