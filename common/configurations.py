"""A bundle's configurations as files: where one lies, and the ids at its top."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ABLATIONS = "ablations"  # folder in configs, of overlays that change one thing each; not packaged


def find_config(configs: Path, name: str) -> Path | None:
    """Find a configuration, in the folder or among its ablations; None where there is none.

    Args:
        configs: folder of the bundle's configurations.
        name: of the file without extension.
    """
    places = (configs / f"{name}.yaml", configs / ABLATIONS / f"{name}.yaml")
    return next((path for path in places if path.is_file()), None)


@cache
def top_level(path: Path) -> dict[str, Any]:
    """Read the ids at the top of a configuration, as MONAI writes them with ``#``, and their values.

    Raises:
        yaml.YAMLError: the file cannot be parsed.
        AttributeError: it holds no mapping.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content = yaml.load(path.read_text(encoding="utf-8"), loader) or {}
    return {plain_id(name.lstrip("+")): value for name, value in content.items()}


def plain_id(name: str) -> str:
    """Write an id with ``#`` between its levels."""
    return name.replace("::", "#")
