"""A bundle's configurations as files: where one lies, and the ids at its top.

What a bundle has no file for it takes from ``common/configs``: overlays for networks on slices that are trained on
superpixels, and the settings of logging.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

SHARED = Path(__file__).parents[1] / "configs"
ABLATIONS = "ablations"  # folder in configs, of overlays that change one thing each; not packaged


def find_config(configs: Path, name: str) -> Path | None:
    """Find a configuration, in the folder, among its ablations or the shared ones; None where there is none.

    Args:
        configs: folder of the bundle's configurations.
        name: of the file without extension.
    """
    places = (configs, configs / ABLATIONS, *([SHARED] if configs.is_dir() else []))
    return next((path for place in places if (path := place / f"{name}.yaml").is_file()), None)


def all_configs(configs: Path) -> list[Path]:
    """List the configurations of a bundle: its own, and the shared ones that it has none of its own for.

    Args:
        configs: folder of the bundle's configurations.
    """
    own = sorted(configs.rglob("*.yaml"))
    names = {path.stem for path in own}
    return own + [path for path in sorted(SHARED.glob("*.yaml")) if path.stem not in names]


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
