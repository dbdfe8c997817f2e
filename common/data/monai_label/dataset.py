"""The training scans of a bundle, whoever names them: a dataset folder, or the studies of a MONAI Label server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.transforms import Compose

from ..cache import VolumeCache
from ..folds import training_items
from . import server as monai_label


class StudyDataset(VolumeCache):
    """Cache of training volumes that reads label maps only where the training needs them.

    MONAI Label hands a training the labelled studies only. Self-supervised training takes all of the server's studies
    instead.

    Args:
        data: datalist; in a server, what MONAI Label has put in its place.
        transform: deterministic MONAI transforms, see ``VolumeCache``.
        cache_dir: folder of the cache.
        excluded_labels: setting 2: label values whose slices are left out, so that label maps are needed.
        labelled: supervised training on annotated organs.
        num_workers: processes that prepare volumes.

    Raises:
        InputError: label maps are needed and a scan has none.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Compose | Sequence[Callable[..., Any]],
        cache_dir: str | Path,
        excluded_labels: Sequence[int] = (),
        labelled: bool = False,
        num_workers: int | None = None,
    ) -> None:
        store = monai_label.datastore()
        if store is not None and not labelled and not excluded_labels:
            data = monai_label.training_items(store)
        items = training_items([dict(item) for item in data], excluded_labels, labelled)
        super().__init__(items, transform, cache_dir, num_workers)
