"""The one place that reads checkpoints and weights: each is verified, and what is wrong with it is one line."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from ..errors import InputError, one_line
from .writing import check_archive

logger = logging.getLogger(__name__)

# Under which names a file may hold a network's weights: MONAI's, a training state's, the public files'.
_PLACES = ("model", "network", "state_dict")

TRAINED, SHIPPED = "models/model.pt", "models/synthetic.pt"


def bundle_weights(bundle: str | Path) -> str:
    """Choose a bundle's weights: those of its own training, or else the ones that it came with.

    Args:
        bundle: folder.

    Returns:
        Path of ``models/model.pt``, or of ``models/synthetic.pt`` where only that is there.
    """
    trained, shipped = Path(bundle) / TRAINED, Path(bundle) / SHIPPED
    return str(shipped if shipped.is_file() and not trained.exists() else trained)


def read_checkpoint(path: str | Path, verify: bool = True, mapped: bool = False) -> Any:
    """Read a file of ``torch.save`` on the CPU, and never run code that it may hold.

    Args:
        path: of the file.
        verify: compare its checksums; needed once in a process.
        mapped: leave tensors on the disk until they are used.

    Returns:
        Tensors and plain containers.

    Raises:
        FileNotFoundError: no such file.
        InputError: the file is a folder, damaged or something else.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the file of weights inside of it, such as model.pt")
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; train first, or give the path of a model.pt")
    try:
        if verify and is_zipfile(path):  # older files have no checksums
            check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zipfile(path))
    except Exception as error:  # what damaged bytes lead to is any of a dozen kinds
        if isinstance(error, PermissionError | MemoryError):
            raise
        raise InputError(
            f"{path} is no checkpoint of plain weights, or damaged ({path.stat().st_size} bytes); "
            "fetch or train it again"
        ) from error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read one network's weights: a plain file of them, MONAI's ``{"model": ...}`` or a training's state.

    Args:
        path: of the file.

    Returns:
        Names and tensors. A line is logged where some are not finite.

    Raises:
        FileNotFoundError: no such file.
        InputError: the file is damaged or holds something else.
    """
    content = read_checkpoint(path)
    if isinstance(content, Mapping):
        content = next((content[name] for name in _PLACES if isinstance(content.get(name), Mapping)), content)
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(part, Tensor) for part in content.values())
    ):
        raise InputError(f"{path} holds something else than one network's weights; use the model.pt of a training")
    wrong = [name for name, value in content.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if wrong:
        logger.warning(
            f"{path}: {len(wrong)} of {len(content)} weights hold NaN or infinite values, {wrong[0]} first: that "
            "training went astray, and answers will be empty or wrong; train again, with a lower learning_rate"
        )
    return dict(content)


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Fill a network from a file, strictly.

    Args:
        network: filled in place.
        path: of the file, see ``read_weights``.

    Raises:
        FileNotFoundError: no such file.
        InputError: the file is damaged, or holds the weights of another network.
    """
    state = read_weights(path)
    network = plain_network(network)
    try:
        network.load_state_dict(state)
    except (InputError, RuntimeError) as error:
        raise InputError(f"{path}: {one_line(error)}") from error


def plain_network(network: Any) -> Any:
    """Return the network inside of what spreads it over devices; other objects as they are."""
    return network.module if isinstance(network, DataParallel | DistributedDataParallel) else network
