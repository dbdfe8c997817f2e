"""The support rides in the query's meta: one mechanism for the bundle runner, training-time validation and servers."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform

from ..data.queries import support_files
from ..data.reading import file_name
from ..errors import InputError, one_line, user_mistake
from ..files.hashing import hash_files
from .drawn import LOST
from .preprocessing import ScanPreprocessing
from .warnings import warn_if_unlike

logger = logging.getLogger(__name__)

MOST_ORGANS = 256  # of a label map; a scan has more values


class LoadSupportd(MapTransform):
    """Load the annotated support scans and attach them to the query; the last preprocessing transform.

    Writes into the query's meta: ``support_image`` and ``support_label``, lists of K volumes ``(1, X, Y, Z)`` whose
    depths may differ, and ``support_organs``, the label values ``(N,)`` to be segmented. Where the data hold
    ``support_files``, these are the support: files, or volumes ``(1, X, Y, Z)`` that a person draws on; and from
    ``StudySupportd`` for each the organs' values in it and in the answer.

    Args:
        keys: key of the query image.
        prepare: the query's preprocessing, which has steps for supports too.
        support_image: paths of the support scans, one per shot (a list, or separated by commas).
        support_label: paths of their label maps in the same order, several organs at once allowed.
        organs: label values to segment; None means all that the supports hold.
        dataset_dir: dataset whose first labelled subject is the support where no file is given.
        slices: the method compares slices, see ``ScanPreprocessing.support_steps``; the drawn ones alone are kept.
        channel: of the dataset, see ``load_datalist``.
        allow_outside: as for ``load_datalist``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prepare: ScanPreprocessing,
        support_image: str | Sequence[str] | None,
        support_label: str | Sequence[str] | None,
        organs: Sequence[int] | None = None,
        dataset_dir: str | None = None,
        slices: bool = False,
        channel: int | str | None = None,
        allow_outside: bool = False,
    ) -> None:
        super().__init__(keys)
        self.dataset_options: dict[str, Any] = {"channel": channel, "allow_outside": allow_outside}
        self.transforms = Compose(prepare.support_steps(slices))
        self.support_image = support_image
        self.support_label = support_label
        self.organs = organs
        self.dataset_dir = dataset_dir
        self.slices = slices
        self._prepared: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._support: tuple[Any, dict[str, Any]] | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Attach the support.

        Raises:
            InputError: no support given, numbers of scans and label maps differ, or a label map lacks what is asked.
        """
        d = dict(data)
        files: Any = d.pop("support_files", None) or support_files(
            self.dataset_dir, self.support_image, self.support_label, **self.dataset_options
        )
        loaded, support = self._load(files["image"], files["label"], files.get("values"))
        for key in self.key_iterator(d):
            for item in loaded:
                warn_if_unlike(d[key], item["image"])
            d[key].meta.update(support)
        return d

    def _load(
        self, images: list[Any], label_maps: list[Any], values: list[dict[int, int]] | None
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Prepare the support, or give what was prepared for the call before and has not changed since."""
        if not images or len(images) != len(label_maps):
            raise InputError(
                f"{len(images)} support scans and {len(label_maps)} support label maps given; "
                "name at least one scan and one label map for each: --support_image SCAN --support_label MAP"
            )
        pairs = list(zip(images, label_maps, strict=True))
        for image, label_map in pairs:
            files = not isinstance(image, MetaTensor) and os.path.exists(image) and os.path.exists(label_map)
            if files and os.path.samefile(image, label_map):
                raise InputError(f"{label_map}: given as support scan and as its label map; give the map drawn on it")
        content = [(_content(image), _content(label_map)) for image, label_map in pairs]
        self._prepared = {
            key: self._prepared.get(key) or self._prepare({"image": image, "label": label_map})
            for key, (image, label_map) in zip(content, pairs, strict=True)
        }
        loaded = [self._prepared[key] for key in content]
        if self._support is None or self._support[0] != (content, values):
            self._support = ((content, values), self._join(loaded, values))
        return loaded, self._support[1]

    def _join(self, loaded: list[dict[str, Any]], values: list[dict[int, int]] | None) -> dict[str, Any]:
        scans = [item["image"].as_tensor() for item in loaded]
        labels = [item["label"].as_tensor().round().int() for item in loaded]
        lost = [list(item["label"].meta.get(LOST, ())) for item in loaded]
        if values is not None:
            labels = [_renumbered(label, numbers) for label, numbers in zip(labels, values, strict=True)]
            lost = [[numbers[n] for n in gone if n in numbers] for gone, numbers in zip(lost, values, strict=True)]
        organs = self._organs(labels, {value for gone in lost for value in gone}, loaded)
        if self.slices:
            drawn = [label.flatten(0, 2).any(0) for label in labels]
            scans, labels = ([v[..., d] for v, d in zip(vs, drawn, strict=True)] for vs in (scans, labels))
        return {"support_image": scans, "support_label": labels, "support_organs": organs}

    def _prepare(self, item: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.transforms(item)
        except RuntimeError as error:  # MONAI wraps what a transform raises
            mistake = user_mistake(error)
            if mistake is None:
                raise
            raise InputError(one_line(mistake)) from error

    def _organs(self, labels: list[torch.Tensor], lost: set[int], loaded: list[dict[str, Any]]) -> torch.Tensor:
        names = ", ".join(file_name(item["label"]) for item in loaded)
        found = torch.cat([label.unique() for label in labels]).unique()
        found = found[found > 0]
        if lost := lost - set(found.tolist()):
            logger.warning("%s: organs %s lie outside of the slices that the network sees", names, sorted(lost))
        if found.numel() == 0:
            raise InputError(f"{names}: the support label map is empty; draw the organ on at least one slice")
        if self.organs is None:
            if found.numel() > MOST_ORGANS:
                raise InputError(f"{names}: {found.numel()} label values found; if it is no scan, list organs")
            return found
        absent = sorted(set(self.organs) - set(found.tolist()))
        if absent:
            listed = ", ".join(map(str, found[:20].tolist())) + (", ..." if found.numel() > 20 else "")
            raise InputError(f"{names}: label values {absent} are not there; it holds [{listed}]")
        return torch.tensor(sorted(self.organs), dtype=found.dtype)


def _renumbered(label: torch.Tensor, numbers: Mapping[int, int]) -> torch.Tensor:
    """Give a label map other values; those that are not among the keys become background."""
    renumbered = torch.zeros_like(label)
    for value, number in numbers.items():
        renumbered[label == value] = number
    return renumbered


def _content(source: Any) -> tuple[Any, ...]:
    """What tells a file, or a volume in memory, from what it was before."""
    if isinstance(source, MetaTensor):
        return file_name(source), hashlib.sha256(source.numpy().tobytes()).digest(), str(source.affine.tolist())
    path = Path(source)
    return path, hash_files(path) if path.exists() else None
