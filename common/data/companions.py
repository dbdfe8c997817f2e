"""Organ names from what lies beside a label map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .datalists import label_names


def organ_names(label_maps: Sequence[str | Path]) -> dict[int, str]:
    """Read organ names from the ``dataset.json`` beside the first label map, or above its folder ``labels*``.

    Args:
        label_maps: paths.

    Returns:
        Names by label value, background left out; none where there is no such file.

    Raises:
        InputError: the file cannot be read.
    """
    for path in label_maps[:1]:
        folder = Path(path).absolute().parent
        above = [folder.parent] if folder.name.lower().startswith("label") else []  # any other file is not about it
        for place in (folder, *above):
            if (place / "dataset.json").is_file():
                return {value: name for name, value in label_names(place).items() if value > 0}
    return {}
