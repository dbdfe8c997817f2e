"""Public pretrained weights for the encoders, and weights from a local file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .segmenter import FewShotSegmenter

_HOST = "https://download.pytorch.org/models/"
# Names end in the first digits of the file's SHA-256, which torch.hub checks.
_FILES = {
    ("coco", 101): "deeplabv3_resnet101_coco-586e9e4e.pth",
    ("coco", 50): "deeplabv3_resnet50_coco-cd0a2569.pth",
    ("imagenet", 101): "resnet101-63fe2227.pth",
    ("imagenet", 50): "resnet50-0676ba61.pth",
    ("imagenet", 18): "resnet18-f37072fd.pth",
}


def load_encoder(network: FewShotSegmenter, init: str, depth: int = 101) -> FewShotSegmenter:
    """Initialise the encoder's backbone from public or own weights; what follows it keeps its random start.

    Args:
        network: few-shot network whose ``encoder.backbone`` is filled in place.
        init: ``coco`` (the papers' choice), ``imagenet`` (what ADNet's released script loads), ``none`` (random) or
            the path of a checkpoint in the layout of either public file; for ``ResNeXt3DEncoder`` of the file
            ``resnext-101-kinetics.pth`` of the 3D-ResNets-PyTorch release, which you fetch yourself.
        depth: ResNet depth, selects the public file.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: weights neither found locally nor downloadable; says what to fetch and where to put it.
        InputError: unknown ``init``, or a checkpoint whose names or shapes do not fit the backbone.
    """
    if init == "none":
        return network
    backbone = getattr(network.encoder, "backbone", None)
    if backbone is None:
        raise InputError(f"init: {type(network.encoder).__name__} has no pretrained weights, got {init}; use none")
    public = init in ("coco", "imagenet")
    if public and not isinstance(backbone.conv1, nn.Conv2d):
        raise InputError(f"init: {init} weights are 2D; use none or the path of resnext-101-kinetics.pth")
    path = _public_file(init, depth) if public else Path(init)
    if not path.is_file():
        raise FileNotFoundError(f"init: no file {path}; use coco, imagenet, none or the path of a checkpoint")
    _fill_backbone(backbone, path)
    return network


def load_network(network: FewShotSegmenter, path: str) -> FewShotSegmenter:
    """Fill a whole network from the ``model.pt`` of an earlier training, to continue from there.

    Args:
        network: filled in place, strictly.
        path: checkpoint file.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: no such file.
        InputError: the file is no checkpoint, or one of another network.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}; train first, or give the path of a model.pt")
    state = _read(Path(path))
    try:
        network.load_state_dict(state)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return network


def _public_file(init: str, depth: int) -> Path:
    if (init, depth) not in _FILES:
        known = ", ".join(f"{name} for ResNet-{layers}" for name, layers in sorted(_FILES))
        raise InputError(f"init: no public {init} weights for ResNet-{depth}; there are {known}; or use none")
    name = _FILES[init, depth]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.is_file():
        try:
            torch.hub.load_state_dict_from_url(_HOST + name, check_hash=True, map_location="cpu")
        except (OSError, RuntimeError) as error:  # no connection, or a file whose hash is not its name's
            raise FileNotFoundError(
                f"init: {init} needs {_HOST + name}, which could not be fetched ({error}); "
                f"download it elsewhere and put it at {path}, or use --init none"
            ) from error
    return path


def _fill_backbone(backbone: nn.Module, path: Path) -> None:
    state = {key.removeprefix("module.").removeprefix("backbone."): value for key, value in _read(path).items()}
    stages = {key.split(".")[0] for key in backbone.state_dict()}  # heads and later stages have no place here
    state = {key: value for key, value in state.items() if key.split(".")[0] in stages}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"init: {path} does not fit this encoder: {first}") from error


def _read(path: Path) -> dict[str, Tensor]:
    """Read the weights of a file, its own or those under ``state_dict``, and never run code that it may hold."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:  # other content, an empty file, a truncated one
        raise InputError(f"{path} is no checkpoint of plain weights, or damaged; fetch or train it again") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds something else than one network's weights; use the model.pt of a training")
    return state
