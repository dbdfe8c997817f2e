"""What a result belongs to: scans, configuration and code, each named by a hash of its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...configuration.workflow import config_file, merged_config
from ...data import load_datalist
from ...data.datalists import Item
from ...files.hashing import hash_files
from .runs import Experiment, Run

# Under which name a manifest keeps each hash, and what it stands for.
KINDS = {"data_sha256": "scans or label maps", "config_sha256": "content of its configurations", "code_sha256": "code"}
_COMMON = Path(__file__).parents[2]
# Parts of ``common`` that no score depends on.
_ASIDE = {"tools", "dicom", "monai_label"}


def provenance(experiment: Experiment, run: Run) -> dict[str, str]:
    """Return what a run's result depends on beside its settings: a hash for each of ``KINDS``.

    Raises:
        InputError: no such configuration or dataset.
    """
    data = hashlib.sha256()
    for item in scans(experiment, run):
        for key in sorted({"image", "label"} & set(item)):
            data.update(f"{item['subject']} {key} ".encode() + hash_files(Path(item[key])))
    return {
        "data_sha256": data.hexdigest(),
        "config_sha256": config_hash(experiment.bundle, run),
        "code_sha256": _hash_code(experiment.bundle),
    }


def config_hash(bundle: Path, run: Run) -> str:
    """Return the hash of what a run's configurations and overrides say now.

    Raises:
        InputError: no such configuration.
    """
    content = [merged_config(bundle, run.configs), run.overrides]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def scans(experiment: Experiment, run: Run) -> list[Item]:
    """List the scans of a run's dataset.

    Raises:
        InputError: no such dataset, or it cannot be used.
    """
    chosen = {key: run.overrides[key] for key in ("channel", "allow_outside") if key in run.overrides}
    return load_datalist(experiment.data, **chosen)


def differing(mine: Mapping[str, Any], other: Mapping[str, Any], names: Iterable[str]) -> str:
    """Name what two results do not have in common, with both values; what neither tells does not count.

    Args:
        mine: settings of a run and entries of its manifest.
        other: the same of the other result.
        names: of those that count.
    """
    return ", ".join(
        f"{KINDS.get(name, name)} ({_short(name, mine.get(name))} and {_short(name, other.get(name))})"
        for name in names
        if mine.get(name) != other.get(name)
    )


def _short(name: str, value: Any) -> str:
    return "unknown" if value is None else str(value)[:8] if name in KINDS else str(value)


def _hash_code(bundle: Path) -> str:
    own = [path for path in _COMMON.rglob("*.py") if not _ASIDE & set(path.relative_to(_COMMON).parts)]
    digest, bundle = hashlib.sha256(), bundle.absolute()
    for root, paths in ((_COMMON, own), (bundle, [*bundle.glob("scripts/*.py"), config_file(bundle, "evaluate")])):
        for path in sorted(paths):
            digest.update(f"{path.relative_to(root).as_posix()} ".encode() + hash_files(path))
    return digest.hexdigest()
