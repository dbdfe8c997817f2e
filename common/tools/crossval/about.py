"""What bundles say of themselves in ``about.yaml``: name, methods, figures of papers, analyses."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ...workflow import shipped_bundles


def all_abouts(bundles: Path | None = None) -> list[dict[str, Any]]:
    """Read the ``about.yaml`` of bundles, each with the bundle's own name added under ``bundle``.

    Args:
        bundles: their folder; None: the project's.
    """
    folders = shipped_bundles() if bundles is None else sorted(path.parent for path in bundles.glob("*/about.yaml"))
    return [_read(folder.absolute()) for folder in folders if (folder / "about.yaml").is_file()]


@cache
def _read(folder: Path) -> dict[str, Any]:
    return {**yaml.safe_load((folder / "about.yaml").read_text(encoding="utf-8")), "bundle": folder.name}
