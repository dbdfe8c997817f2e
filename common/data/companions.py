"""Organ names from what lies beside a label map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .datalists import label_names


def organ_names(label_maps: Sequence[str | Path]) -> dict[int, str]:
    """Read organ names from the ``dataset.json`` of the folder, or the one above, that holds the first label map.

    Args:
        label_maps: paths.

    Returns:
        Names by label value, background left out; none where there is no such file.

    Raises:
        InputError: the file cannot be read.
    """
    for folder in [parent for path in label_maps[:1] for parent in Path(path).absolute().parents[:2]]:
        if (folder / "dataset.json").is_file():
            return {value: name for name, value in label_names(folder).items() if value > 0}
    return {}
