"""Run a bundle's configurations from Python: what the command line, the demo and the tests share."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.bundle.utils import merge_kv

from ..errors import InputError, one_line
from .files import SHARED, all_configs, find_config
from .overlays import in_order
from .settings import check_parents, check_settings


def bundle_workflow(
    bundle: str | Path, configs: Sequence[str], kind: str = "train", **overrides: Any
) -> ConfigWorkflow:
    """Build a MONAI ``ConfigWorkflow`` from a bundle folder.

    The folder goes on ``sys.path`` for its ``scripts``: one bundle per process.

    Args:
        bundle: folder with ``configs/`` and ``scripts/``, or name of a bundle, see ``bundle_folder``.
        configs: names of files in ``configs`` without extension, base first; overlays after it, in any order.
        kind: ``train`` or ``infer``, which of MONAI's property lists applies.
        overrides: ids and values, ``#`` in ids written as ``#`` through a dictionary: ``**{"train#x": 1}``.

    Returns:
        The workflow, initialised; ``run()`` does the work.

    Raises:
        InputError: the bundle or a configuration does not exist or cannot be read, or a setting is wrong.
    """
    bundle = bundle_folder(bundle)
    folder = bundle / "configs"
    configs = in_order(configs, folder)
    check_configuration(bundle, configs, overrides)
    _read_file(folder / "metadata.json")
    with _without_remarks():
        workflow = ConfigWorkflow(
            config_file=[str(config_file(bundle, name)) for name in configs],
            meta_file=str(folder / "metadata.json"),
            logging_file=str(next(path for place in (folder, SHARED) if (path := place / "logging.conf").is_file())),
            workflow_type=kind,
            **overrides,
        )
    workflow.initialize()
    return workflow


def bundle_folder(bundle: str | Path) -> Path:
    """Find a bundle by its folder, or by its name among those of the checkout or the installed package.

    Args:
        bundle: folder, or name such as ``adnet``.

    Returns:
        Absolute path.

    Raises:
        InputError: there is no such bundle.
    """
    path = Path(bundle)
    if (path / "configs").is_dir():
        return path.absolute()
    for folder in shipped_bundles():
        if os.fspath(bundle) == folder.name:
            return folder
    lack = "it has no folder configs" if path.is_dir() else "there is no such folder"
    names = ", ".join(folder.name for folder in shipped_bundles()) or "none"
    raise InputError(f"no bundle {bundle}: {lack}; give a folder, or the name of one of these: {names}")


def shipped_bundles() -> list[Path]:
    """List the folders of the project's bundles: of the checkout, or inside of the installed package."""
    package = Path(__file__).parents[1]
    return sorted(found.parent for root in (package.parent, package) for found in root.glob("bundles/*/configs"))


def check_configuration(bundle: str | Path, configs: Sequence[str], overrides: Mapping[str, Any]) -> None:
    """Refuse settings that are wrong; nothing is built and nothing written.

    Args:
        bundle: folder with ``configs/`` and ``scripts/``.
        configs: names of files in ``configs`` without extension, base first, overlays after it.
        overrides: ids and values.

    Raises:
        InputError: the bundle or a configuration does not exist or cannot be read, or a setting is wrong.
    """
    folder = Path(bundle).absolute()
    files = [config_file(bundle, name) for name in in_order(configs, folder / "configs")]
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    parser = _merged(files)
    check_parents(parser, overrides)
    parser.update(dict(overrides))
    check_settings(parser, folder / "configs")


def config_file(bundle: str | Path, name: str) -> Path:
    """Find a configuration of a bundle, in ``configs``, ``configs/ablations`` or among the shared ones.

    Args:
        bundle: folder with ``configs/``.
        name: of the file without extension.

    Returns:
        Absolute path.

    Raises:
        InputError: the bundle or the configuration does not exist.
    """
    path = _find(bundle, name)
    if path is None:
        folder = bundle_folder(bundle) / "configs"
        known = ", ".join(sorted(found.stem for found in all_configs(folder))) or "none"
        raise InputError(f"no configuration {folder / name}.yaml; there are: {known}")
    return path


def merged_config(bundle: str | Path, names: Sequence[str]) -> dict[str, Any]:
    """Read configurations one over the other, overlays in their order; an id of a later one replaces an earlier one's.

    Args:
        bundle: folder with ``configs/``.
        names: of the configurations.

    Returns:
        Ids as they are written, references and expressions not resolved.

    Raises:
        InputError: a configuration does not exist or cannot be read.
    """
    merged: dict[str, Any] = {}
    for name in in_order(names, bundle_folder(bundle) / "configs"):
        merged |= _read_file(config_file(bundle, name))
    return merged


def has_config(bundle: str | Path, name: str) -> bool:
    """Tell whether a bundle has a configuration of that name."""
    return _find(bundle, name) is not None


def label_free_overlays(bundle: str | Path) -> list[str]:
    """Name the overlays with which a bundle trains without labels: none, but for one that else needs drawn organs."""
    return ["train_ssl"] if has_config(bundle, "train_ssl") else []


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Keep MONAI from remarking that shared overlays lie outside of the bundle."""
    monai = logging.getLogger("monai.bundle.workflows")
    level = monai.level
    monai.setLevel(logging.ERROR)
    try:
        yield
    finally:
        monai.setLevel(level)


def _merged(files: Sequence[Path]) -> ConfigParser:
    """Merge configurations as MONAI does.

    Raises:
        InputError: one cannot be read, or sets an id whose parent the ones before it do not have.
    """
    parser = ConfigParser(config={})
    for path in files:
        for name, value in _read_file(path).items():
            try:
                check_parents(parser, [name.lstrip("+")])
                merge_kv(parser, name, value)
            except ValueError as error:
                raise InputError(f"{path}: {one_line(error)}") from error
    return parser


def _read_file(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds ids and values.

    Raises:
        InputError: it is missing, cannot be parsed or holds something else.
    """
    try:
        content = ConfigParser.load_config_file(path)
    except FileNotFoundError:
        raise InputError(f"no file {path}; a bundle has one") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}; repair the file") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no ids with values; write for instance `max_epochs: 10`")
    return {str(name): value for name, value in content.items()}


def _find(bundle: str | Path, name: str) -> Path | None:
    return find_config(Path(bundle).absolute() / "configs", name)
