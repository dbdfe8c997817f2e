"""What inference is asked to do: support files and query scans, given by path or taken from a dataset folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..files.literals import split_paths
from .datalists import load_datalist


def support_files(
    dataset_dir: str | None,
    support_image: str | Sequence[str] | None,
    support_label: str | Sequence[str] | None,
    channel: int | str | None = None,
    allow_outside: bool = False,
) -> dict[str, list[str]]:
    """Return the support scans and label maps.

    Args:
        dataset_dir: used where no support is given: its first labelled subject; None: there is no such dataset.
        support_image: path or paths (a list, or separated by commas); None takes the dataset's.
        support_label: path or paths in the same order.
        channel: of the dataset, see ``load_datalist``.
        allow_outside: as for ``load_datalist``.

    Returns:
        ``image`` and ``label``, lists of paths.
    """
    if support_image is not None or support_label is not None or dataset_dir is None:
        return {"image": split_paths(support_image), "label": split_paths(support_label)}
    items = load_datalist(dataset_dir, channel=channel, allow_outside=allow_outside, look_into=False)
    labelled = [item for item in items if "label" in item][:1]
    return {key: [item[key] for item in labelled] for key in ("image", "label")}


def query_items(
    dataset_dir: str,
    image: str | Sequence[str] | None,
    support_image: Sequence[str] = (),
    channel: int | str | None = None,
    allow_outside: bool = False,
) -> list[dict[str, str]]:
    """Return the scans to segment as a datalist; a damaged one is found when it is read, and keeps no other back.

    Args:
        dataset_dir: used where no scan is given: all of its scans but the support.
        image: path or paths (a list, or separated by commas); None takes the dataset's.
        support_image: support scans, left out when the dataset is segmented.
        channel: of the dataset, see ``load_datalist``.
        allow_outside: as for ``load_datalist``.

    Raises:
        InputError: the dataset holds no scan but the support.
    """
    if image is not None:
        return [{"image": path} for path in split_paths(image)]
    support = {str(Path(path).resolve()) for path in support_image}
    items = load_datalist(dataset_dir, channel=channel, allow_outside=allow_outside, look_into=False)
    queries = [{"image": item["image"]} for item in items if str(Path(item["image"]).resolve()) not in support]
    if not queries:
        raise InputError(f"{dataset_dir}: holds no scan but the support; add scans, or name one as image (--image)")
    return queries
