"""Volumes packed slice by slice into two arrays on disk or in memory, with an index of their supervoxels and labels."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from monai.data.utils import affine_to_spacing
from numpy.typing import NDArray

from ..errors import InputError, one_line
from ..files.exchange import put_in_place
from ..files.hashing import hash_files
from ..files.writing import whole_folder

logger = logging.getLogger(__name__)

VERSION = 4
_SLICES, _INDICES, _DESCRIPTION = ("images", "supervoxels"), ("occurrences", "labels"), "pack.json"
_verified: set[Path] = set()


class Pack(NamedTuple):
    """All slices of a dataset; slice numbers run through the volumes in order.

    Attributes:
        images: ``(N, H, W)`` float32.
        supervoxels: ``(N, H, W)`` int16, 0 is air.
        occurrences: ``(M, 4)`` int64, one row per supervoxel and slice that it meets: volume, supervoxel, slice, area
            in pixels; in ascending order.
        labels: ``(L, 2)`` int64, one row per slice and label value in it: slice, value.
        depths: slices of each volume.
        spacings: size of each volume's voxels along X, Y and Z in mm; None where its item has no affine.
        subjects: name of each volume.
        labelled: whether each volume came with a label map.
        renumbered: whether the supervoxels of each volume had to be renumbered to fit.
    """

    images: NDArray[np.float32]
    supervoxels: NDArray[np.int16]
    occurrences: NDArray[np.int64]
    labels: NDArray[np.int64]
    depths: list[int]
    spacings: list[list[float] | None]
    subjects: list[str]
    labelled: list[bool]
    renumbered: list[bool]

    def usable(self, excluded_labels: Sequence[int] = ()) -> NDArray[np.bool_]:
        """Tell which slices hold no pixel of the excluded labels (setting 2; all of them without excluded labels).

        Args:
            excluded_labels: label values of the classes to be tested.

        Returns:
            ``(N,)``.

        Raises:
            InputError: a volume has no label map to exclude by.
        """
        usable = np.ones(len(self.images), bool)
        if len(excluded_labels):
            unlabelled = [name for name, labelled in zip(self.subjects, self.labelled, strict=True) if not labelled]
            if unlabelled:
                raise InputError(
                    f"{unlabelled[0]}: has no label map, excluded_labels {list(excluded_labels)} need one of every "
                    "training volume; add 'label' to the datalist and the preprocessing, or set no excluded_labels"
                )
            usable[self.labels[np.isin(self.labels[:, 1], list(excluded_labels)), 0]] = False
        return usable


def pack_volumes(
    dataset: Sequence[Mapping[str, Any]], folder: str | Path | None = None, key: str | None = None
) -> Pack:
    """Pack a dataset, one volume at a time, or open the pack that is already there.

    Args:
        dataset: items with ``image``, normalised, ``supervoxels``, integers from 0 (air) up, and optionally ``label``,
            each ``(1, X, Y, Z)``; ``affine`` ``(4, 4)``; ``subject`` or ``filename``. All share X and Y.
        folder: where packs are kept, as memory-mapped files; None: in memory.
        key: names the dataset's content; where its pack exists, nothing is read. None: the pack is named by the content
            itself, so that every run reads the dataset and equal content is stored once.

    Returns:
        The pack.

    Raises:
        InputError: the dataset is empty or a volume cannot be used; the message names the subject.
        OSError: the folder cannot be written.
    """
    if folder is None:
        volumes, images, supervoxels = [], [], []
        for volume in _read(dataset):
            images.append(volume.image)
            supervoxels.append(volume.supervoxels)
            volumes.append(_without_slices(volume))
        return Pack(_join(images), _join(supervoxels), **_index(volumes))
    folder = Path(folder).expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if key is not None and (pack := _stored(folder / _name(key))) is not None:
        return pack
    fresh = folder / (f"{secrets.token_hex(8)}.unnamed" if key is None else _name(key))
    with whole_folder(fresh) as draft:
        content = _write(dataset, draft)
    target = folder / _name(content if key is None else key)
    if fresh != target:
        if _stored(target) is None:
            put_in_place(fresh, target)
        shutil.rmtree(fresh, ignore_errors=True)
    return _open(target)


class _Volume(NamedTuple):
    """One volume as slices ``(Z, H, W)``; slice numbers count within it."""

    subject: str
    depth: int
    spacing: list[float] | None
    labelled: bool
    renumbered: bool
    image: NDArray[np.float32]
    supervoxels: NDArray[np.int16]
    occurrences: NDArray[np.int64]
    labels: NDArray[np.int64]


def _read(dataset: Sequence[Mapping[str, Any]]) -> Iterator[_Volume]:
    if len(dataset) == 0:
        raise InputError("the training dataset is empty; check the datalist and the fold")
    grid: tuple[str, tuple[int, ...]] | None = None
    for index in range(len(dataset)):
        item = dataset[index]
        subject = str(item.get("subject") or item.get("filename") or f"volume {index}")
        image = np.ascontiguousarray(_slices(item, "image", subject), np.float32)
        grid = grid or (subject, image.shape[1:])
        if image.shape[1:] != grid[1]:
            raise InputError(
                f"{subject}: slices of {image.shape[1:]} pixels, {grid[0]} has {grid[1]}; "
                "crop or pad all volumes to one in-plane size in the preprocessing"
            )
        supervoxels, renumbered = _numbered(_slices(item, "supervoxels", subject, image.shape), subject)
        labelled = item.get("label") is not None
        labels = _values(_slices(item, "label", subject, image.shape)) if labelled else np.empty((0, 2), np.int64)
        occurrences = _occurrences(supervoxels, index)
        spacing = affine_to_spacing(np.asarray(item["affine"])).tolist() if "affine" in item else None
        yield _Volume(subject, len(image), spacing, labelled, renumbered, image, supervoxels, occurrences, labels)


def _slices(item: Mapping[str, Any], key: str, subject: str, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """The volume under a key as ``(Z, X, Y)``."""
    if key not in item:
        raise InputError(f"{subject}: the prepared volume has no {key!r}; add the transform that makes it")
    volume = torch.as_tensor(item[key]).detach().cpu().numpy()
    if volume.ndim != 4 or volume.shape[0] != 1:
        raise InputError(f"{subject}: {key} has shape {volume.shape}, (1, X, Y, Z) is needed")
    volume = np.moveaxis(volume[0], 2, 0)
    if shape is not None and volume.shape != shape:
        raise InputError(f"{subject}: {key} has grid {volume.shape} (Z, X, Y), its image {shape}; resample both alike")
    return volume


def _numbered(supervoxels: NDArray[Any], subject: str) -> tuple[NDArray[np.int16], bool]:
    """Supervoxels as int16, renumbered in order where their values do not fit, and whether they were."""
    values = np.unique(supervoxels)
    wrong = values[(values < 0) | (values != np.round(values))]
    if len(wrong):
        raise InputError(f"{subject}: supervoxel {wrong[0]} found; whole numbers from 0 (air) up are needed")
    limit = int(np.iinfo(np.int16).max)
    renumbered = bool(values[-1] > limit)
    if renumbered:
        names = values[values > 0]
        if len(names) > limit:
            raise InputError(f"{subject}: {len(names)} supervoxels, at most {limit} fit; make them larger")
        supervoxels = np.where(supervoxels > 0, np.searchsorted(names, supervoxels) + 1, 0)
    return np.ascontiguousarray(supervoxels, np.int16), renumbered


def _occurrences(supervoxels: NDArray[np.int16], volume: int) -> NDArray[np.int64]:
    count = int(supervoxels.max()) + 1
    areas = np.stack([np.bincount(plane.ravel(), minlength=count) for plane in supervoxels], axis=1)
    areas[0] = 0  # air
    supervoxel, plane = np.nonzero(areas)
    return np.stack([np.full_like(plane, volume), supervoxel, plane, areas[supervoxel, plane]], axis=1)


def _values(label: NDArray[Any]) -> NDArray[np.int64]:
    rows = [(number, int(value)) for number, plane in enumerate(label) for value in np.unique(plane)]
    return np.array(rows, np.int64).reshape(-1, 2)


def _index(volumes: Sequence[_Volume]) -> dict[str, Any]:
    """All of a pack but its two large arrays."""
    starts = np.cumsum([0, *(volume.depth for volume in volumes)])[:-1]
    occurrences = [volume.occurrences + [0, 0, start, 0] for volume, start in zip(volumes, starts, strict=True)]
    labels = [volume.labels + [start, 0] for volume, start in zip(volumes, starts, strict=True)]
    return {
        "occurrences": np.concatenate(occurrences),
        "labels": np.concatenate(labels),
        "depths": [volume.depth for volume in volumes],
        "spacings": [volume.spacing for volume in volumes],
        "subjects": [volume.subject for volume in volumes],
        "labelled": [volume.labelled for volume in volumes],
        "renumbered": [volume.renumbered for volume in volumes],
    }


def _without_slices(volume: _Volume) -> _Volume:
    """Keep what the index needs; a copy of nothing, because a view would keep the slices in memory."""
    return volume._replace(image=volume.image[:0].copy(), supervoxels=volume.supervoxels[:0].copy())


def _join(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Concatenate arrays, letting go of each one once it is copied."""
    joined = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    end = len(joined)
    while parts:
        part = parts.pop()
        joined[end - len(part) : end] = part
        end -= len(part)
    return joined


def _name(key: str) -> str:
    return hashlib.sha256(f"pack {VERSION} {key}".encode()).hexdigest()[:40]


def _write(dataset: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """Write a pack; return the digest of its content."""
    written, digest = [], hashlib.sha256()
    with (folder / "images.npy").open("wb") as images, (folder / "supervoxels.npy").open("wb") as supervoxels:
        shape = (0, 0, 0)
        for volume in _read(dataset):
            shape = (shape[0] + volume.depth, *volume.image.shape[1:])
            _append(images, volume.image, shape)
            _append(supervoxels, volume.supervoxels, shape)
            labels = volume.labels.tolist()
            about = (volume.subject, volume.image.shape, volume.spacing, volume.labelled, volume.renumbered, labels)
            digest.update(repr(about).encode())
            digest.update(volume.image.data)
            digest.update(volume.supervoxels.data)
            written.append(_without_slices(volume))
    description = _index(written)
    for name in _INDICES:
        np.save(folder / f"{name}.npy", description.pop(name))
    description["sha256"] = _checksums(folder, description)
    (folder / _DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    return digest.hexdigest()


def _append(stream: BinaryIO, slices: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Add slices to a .npy file, whose header then states ``shape``: it is as long for any number of slices."""
    stream.seek(0)
    np.lib.format.write_array_header_1_0(
        stream, {"descr": np.lib.format.dtype_to_descr(slices.dtype), "fortran_order": False, "shape": shape}
    )
    stream.seek(0, os.SEEK_END)
    stream.write(slices.data)


def _stored(folder: Path) -> Pack | None:
    """Open a pack; None where there is none, or a damaged one. Its checksums are verified once per process."""
    if not folder.is_dir():
        return None
    try:
        if folder not in _verified:
            description = json.loads((folder / _DESCRIPTION).read_text())
            expected, found = description.pop("sha256"), _checksums(folder, description)
            wrong = [name for name in found if found[name] != expected.get(name)]
            if wrong:
                raise ValueError(f"another SHA-256 than noted: {', '.join(wrong)}")
        pack = _open(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning(f"{folder}: this pack of training slices is damaged ({one_line(error)}); it is made again")
        return None
    _verified.add(folder)
    return pack


def _checksums(folder: Path, description: Mapping[str, Any]) -> dict[str, str]:
    files = {f"{name}.npy": hash_files(folder / f"{name}.npy").hex() for name in (*_SLICES, *_INDICES)}
    return {**files, _DESCRIPTION: hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()}


def _open(folder: Path) -> Pack:
    # Copy on write: torch warns of read-only arrays, and nothing may reach the files.
    images, supervoxels = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in _SLICES)
    occurrences, labels = (np.load(folder / f"{name}.npy") for name in _INDICES)
    description = json.loads((folder / _DESCRIPTION).read_text())
    del description["sha256"]
    return Pack(images, supervoxels, occurrences, labels, **description)
