"""What inference is asked to do: support files and query scans, given by path or taken from a dataset folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .datalists import load_datalist


def support_files(
    dataset_dir: str | None, support_image: str | Sequence[str] | None, support_label: str | Sequence[str] | None
) -> dict[str, list[str]]:
    """Return the support scans and label maps.

    Args:
        dataset_dir: used where no support is given: its first labelled subject; None: there is no such dataset.
        support_image: path or paths (a list, or separated by commas); None takes the dataset's.
        support_label: path or paths in the same order.

    Returns:
        ``image`` and ``label``, lists of paths.
    """
    if support_image is not None or support_label is not None or dataset_dir is None:
        return {"image": split_paths(support_image), "label": split_paths(support_label)}
    labelled = [item for item in load_datalist(dataset_dir) if "label" in item][:1]
    return {key: [item[key] for item in labelled] for key in ("image", "label")}


def query_items(
    dataset_dir: str, image: str | Sequence[str] | None, support_image: Sequence[str] = ()
) -> list[dict[str, str]]:
    """Return the scans to segment as a datalist.

    Args:
        dataset_dir: used where no scan is given: all of its scans but the support.
        image: path or paths (a list, or separated by commas); None takes the dataset's.
        support_image: support scans, left out when the dataset is segmented.
    """
    if image is not None:
        return [{"image": path} for path in split_paths(image)]
    support = {str(Path(path).resolve()) for path in support_image}
    items = load_datalist(dataset_dir)
    return [{"image": item["image"]} for item in items if str(Path(item["image"]).resolve()) not in support]


def split_paths(value: str | Sequence[str] | None) -> list[str]:
    """Turn None, one path, paths separated by commas or a list of paths into a list."""
    if value is None:
        return []
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else [str(part) for part in value]
