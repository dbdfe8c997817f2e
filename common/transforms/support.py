"""The support rides in the query's meta: one mechanism for the bundle runner, training-time validation and servers."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
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
    ``support_files`` (``StudySupportd``: files, and for each the organs' values in it and in the answer), these are the
    support.

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
        self._loaded: tuple[Any, list[dict[str, Any]], dict[str, Any]] | None = None

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
        self, images: list[str], label_maps: list[str], values: list[dict[int, int]] | None
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Prepare the support, or give that of the call before where its files have not changed since."""
        if not images or len(images) != len(label_maps):
            raise InputError(
                f"{len(images)} support scans and {len(label_maps)} support label maps given; "
                "name at least one scan and one label map for each: --support_image SCAN --support_label MAP"
            )
        for image, label_map in zip(images, label_maps, strict=True):
            if os.path.exists(image) and os.path.exists(label_map) and os.path.samefile(image, label_map):
                raise InputError(f"{label_map}: given as support scan and as its label map; give the map drawn on it")
        paths = [Path(path) for path in (*images, *label_maps)]
        content = (paths, values, [hash_files(path) for path in paths if path.exists()])
        if self._loaded is None or self._loaded[0] != content:
            loaded = [self._prepare({"image": i, "label": m}) for i, m in zip(images, label_maps, strict=True)]
            self._loaded = (content, loaded, self._support(loaded, values))
        return self._loaded[1:]

    def _support(self, loaded: list[dict[str, Any]], values: list[dict[int, int]] | None) -> dict[str, Any]:
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

    def _prepare(self, item: dict[str, str]) -> dict[str, Any]:
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
