"""The support rides in the query's meta: one mechanism for the bundle runner, training-time validation and servers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform

from ..data.queries import support_files
from ..data.reading import file_name
from ..errors import InputError, one_line, user_mistake


class LoadSupportd(MapTransform):
    """Load the annotated support scans and attach them to the query; the last preprocessing transform.

    Writes into the query's meta: ``support_image`` and ``support_label``, lists of K volumes ``(1, X, Y, Z)`` whose
    depths may differ, and ``support_organs``, the label values ``(N,)`` to be segmented. Where the data hold
    ``support_files`` (``StudySupportd``: files, and one label value for each), these are the support, as organ 1.

    Args:
        keys: key of the query image.
        transforms: deterministic transforms, the same as the query's, on keys ``image`` and ``label``.
        support_image: paths of the support scans, one per shot (a list, or separated by commas).
        support_label: paths of their label maps in the same order, several organs at once allowed.
        organs: label values to segment; None means all that the supports hold.
        dataset_dir: dataset whose first labelled subject is the support where no file is given.
        allow_missing_keys: skip if the query is absent.
        channel: of the dataset, see ``load_datalist``.
        allow_outside: as for ``load_datalist``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        transforms: Sequence[Callable],
        support_image: str | Sequence[str] | None,
        support_label: str | Sequence[str] | None,
        organs: Sequence[int] | None = None,
        dataset_dir: str | None = None,
        allow_missing_keys: bool = False,
        channel: int | str | None = None,
        allow_outside: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.dataset_options: dict[str, Any] = {"channel": channel, "allow_outside": allow_outside}
        self.transforms = Compose(list(transforms))
        self.support_image = support_image
        self.support_label = support_label
        self.organs = organs
        self.dataset_dir = dataset_dir

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Attach the support.

        Raises:
            InputError: no support given, numbers of scans and label maps differ, or a label map lacks what is asked.
        """
        d = dict(data)
        files: Any = d.pop("support_files", None) or support_files(
            self.dataset_dir, self.support_image, self.support_label, **self.dataset_options
        )
        support = self._load(files["image"], files["label"], files.get("values"))
        for key in self.key_iterator(d):
            d[key].meta.update(support)
        return d

    def _load(self, images: list[str], label_maps: list[str], values: list[int] | None) -> dict[str, Any]:
        if not images or len(images) != len(label_maps):
            raise InputError(
                f"{len(images)} support scans and {len(label_maps)} support label maps given; "
                "name at least one scan and one label map for each: --support_image SCAN --support_label MAP"
            )
        loaded = [self._prepare({"image": i, "label": m}) for i, m in zip(images, label_maps, strict=True)]
        labels = [item["label"].as_tensor().round().to(torch.int32) for item in loaded]
        if values is not None:
            labels = [(label == value).to(torch.int32) for label, value in zip(labels, values, strict=True)]
        return {
            "support_image": [item["image"].as_tensor() for item in loaded],
            "support_label": labels,
            "support_organs": self._organs(labels, [file_name(item["label"]) for item in loaded]),
        }

    def _prepare(self, item: dict[str, str]) -> dict[str, Any]:
        try:
            return self.transforms(item)
        except RuntimeError as error:  # MONAI wraps what a transform raises
            mistake = user_mistake(error)
            if mistake is None:
                raise
            raise InputError(one_line(mistake)) from error

    def _organs(self, labels: list[torch.Tensor], names: list[str]) -> torch.Tensor:
        found = torch.cat([label.unique() for label in labels]).unique()
        found = found[found > 0]
        if found.numel() == 0:
            raise InputError(
                f"{', '.join(names)}: the support label map is empty; draw the organ on at least one slice"
            )
        if self.organs is None:
            return found
        absent = sorted(set(self.organs) - set(found.tolist()))
        if absent:
            raise InputError(f"{', '.join(names)}: label values {absent} are not there; it holds {found.tolist()}")
        return torch.tensor(sorted(self.organs), dtype=found.dtype)


class QueryExtentd(MapTransform):
    """Tell protocol EP1 on which query slices each organ lies, from the label map or from a person.

    Writes ``query_extent`` into the query's meta: booleans ``(N, Z)`` in the order of ``support_organs``.
    Comes after ``LoadSupportd``; does nothing when neither source is there.

    Args:
        keys: key of the query image.
        label_key: key of the query's label map, preprocessed like the image.
        query_slices: first and last slice, counted from 0 in the stored scan along its slice axis, for all organs.
        allow_missing_keys: skip if the query is absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str = "label",
        query_slices: tuple[int, int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_key = label_key
        self.query_slices = query_slices

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Attach the extent.

        Raises:
            InputError: ``query_slices`` outside of the scan.
        """
        d = dict(data)
        for key in self.key_iterator(d):
            image, organs = d[key], d[key].meta["support_organs"]
            if self.query_slices is not None:
                first, last = _preprocessed_slices(image, self.query_slices)
                index = torch.arange(image.shape[-1])
                extent = ((index >= first) & (index <= last)).expand(len(organs), -1)
            elif self.label_key in d:
                label = d[self.label_key].as_tensor().round()
                extent = torch.stack([(label == int(organ)).flatten(0, 2).any(0) for organ in organs])
            else:
                continue
            image.meta["query_extent"] = extent
        return d


def _preprocessed_slices(image: MetaTensor, slices: tuple[int, int]) -> tuple[int, int]:
    """Map stored slice numbers to slices of the preprocessed grid, by way of world coordinates."""
    stored = torch.as_tensor(image.meta["original_affine"]).double().reshape(4, 4)
    shape = [int(n) for n in torch.as_tensor(image.meta["spatial_shape"]).flatten()]
    spacing = stored[:3, :3].norm(dim=0).round(decimals=3)
    axis = 2 if spacing[2] == spacing.max() else int(spacing.argmax())
    first, last = sorted(int(index) for index in slices)
    if first < 0 or last >= shape[axis]:
        raise InputError(f"{file_name(image)}: query_slices {first} to {last} asked, slices are 0 to {shape[axis] - 1}")
    points = torch.tensor([[(n - 1) / 2 for n in shape] + [1.0]] * 2, dtype=torch.float64)
    points[0, axis], points[1, axis] = first, last
    grid = (points @ stored.T) @ torch.linalg.inv(image.affine.double()).T
    low, high = sorted(grid[:, 2].tolist())
    return max(0, round(low)), min(image.shape[-1] - 1, round(high))
