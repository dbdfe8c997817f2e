"""Public pretrained weights for the encoders, and weights from a local file."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from ..calling import running_bundle
from ..errors import InputError
from ..files.checkpoints import SHIPPED, load_weights, read_weights
from ..files.hashing import hash_files
from .segmenter import FewShotSegmenter

logger = logging.getLogger(__name__)

_HOST = "https://download.pytorch.org/models/"
# Names end in the first digits of the file's SHA-256, which is checked.
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
        init: ``coco`` (the papers' choice), ``imagenet`` (what ADNet's released script loads), ``synthetic`` (the whole
            small network as it comes with the running bundle, trained on computer-drawn scans), ``none`` (random) or
            the path of a checkpoint, in the layout of either public file or of this project; for ``ResNeXt3DEncoder``
            the file ``resnext-101-kinetics.pth`` of the 3D-ResNets-PyTorch release, which you fetch yourself.
        depth: ResNet depth, selects the public file.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: the bundle has no synthetic weights, or weights are neither found locally nor downloadable;
            says what to fetch and where to put it.
        InputError: unknown ``init``, or a checkpoint whose names or shapes do not fit the backbone.
    """
    if init == "none":
        return network
    if init == "synthetic":
        return _load_shipped(network)
    backbone = getattr(network.encoder, "backbone", None)
    if backbone is None:
        raise InputError(f"init: {type(network.encoder).__name__} has no pretrained weights, got {init}; use none")
    public = init in ("coco", "imagenet")
    if public and not isinstance(backbone.conv1, nn.Conv2d):
        raise InputError(f"init: {init} weights are 2D; use none or the path of resnext-101-kinetics.pth")
    path = _public_file(init, depth) if public else Path(init)
    if not path.is_file():
        raise FileNotFoundError(f"init: no file {path}; use coco, imagenet, synthetic, none or a checkpoint")
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
    load_weights(network, path)
    return network


def _load_shipped(network: FewShotSegmenter) -> FewShotSegmenter:
    path = running_bundle() / SHIPPED
    if not path.is_file():
        raise FileNotFoundError(f"init: no file {path}; make weights writes it, or use none")
    try:
        load_weights(network, path)
    except InputError as error:
        raise InputError(f"init: synthetic weights are those of the small network of overlay cpu: {error}") from error
    return network


def _public_file(init: str, depth: int) -> Path:
    if (init, depth) not in _FILES:
        known = ", ".join(f"{name} for ResNet-{layers}" for name, layers in sorted(_FILES))
        raise InputError(f"init: no public {init} weights for ResNet-{depth}; there are {known}; or use none")
    name = _FILES[init, depth]
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if path.is_file():
        if hash_files(path).hex().startswith(_digits(path)):
            return path
        logger.warning(f"{path} is damaged: its SHA-256 does not begin with {_digits(path)}; it is fetched again")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(_HOST + name, str(path), hash_prefix=_digits(path))
    except (OSError, RuntimeError) as error:  # no connection, or a file whose hash is not its name's
        raise FileNotFoundError(
            f"init: {init} needs {_HOST + name}, which could not be fetched ({error}); "
            f"download it elsewhere and put it at {path}, or use --init none"
        ) from error
    return path


def _digits(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _fill_backbone(backbone: nn.Module, path: Path) -> None:
    state = {
        key.removeprefix("module.").removeprefix("encoder.").removeprefix("backbone."): value
        for key, value in read_weights(path).items()
    }
    stages = {key.split(".")[0] for key in backbone.state_dict()}  # heads and later stages have no place here
    state = {key: value for key, value in state.items() if key.split(".")[0] in stages}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"init: {path} does not fit this encoder: {first}") from error
