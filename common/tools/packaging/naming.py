"""Name the organs that a packaged bundle answers with, where MONAI Label and its clients look for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ...data.monai_label.organs import UNNAMED
from ...errors import InputError


def name_organs(metadata: Path, organs: Mapping[int, str]) -> None:
    """Write organs into the ``channel_def`` of the metadata's output; MONAI Label shows them as the model's labels.

    Args:
        metadata: a packaged bundle's metadata.json.
        organs: names by value.

    Raises:
        InputError: values with gaps, or names that say no organ or the same.
    """
    values = sorted(organs)
    if values != list(range(1, len(values) + 1)):
        raise InputError(
            f"--organs: the values are {', '.join(map(str, values))}; number the organs 1, 2, 3 and so on, as 3D "
            "Slicer does; submitted labels may have other values, they are matched by name"
        )
    names = [organs[value] for value in values]
    if len({name.lower() for name in names}) < len(names):
        raise InputError(f"--organs: two of {', '.join(names)} are the same; give each organ a name of its own")
    if reserved := {"background", UNNAMED} & {name.lower() for name in names}:
        raise InputError(f"--organs: {min(reserved)} is the name of no organ; leave it out")
    content = json.loads(metadata.read_text())
    output = next(iter(content["network_data_format"]["outputs"].values()))
    output["channel_def"] = {"0": "background", **{str(value): organs[value] for value in values}}
    metadata.write_text(json.dumps(content, indent=2) + "\n")
