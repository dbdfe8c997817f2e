"""Public pretrained weights for the encoders, and weights from a local file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

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
    """Initialise the encoder's backbone from public or own weights; the projection keeps its random start.

    Args:
        network: few-shot network whose ``encoder.backbone`` is filled in place.
        init: ``coco`` (the papers' choice), ``imagenet`` (what ADNet's released script loads), ``none`` (random) or
            the path of a checkpoint in the layout of either public file.
        depth: ResNet depth, selects the public file.

    Returns:
        The same network.

    Raises:
        FileNotFoundError: weights neither found locally nor downloadable; says what to fetch and where to put it.
        InputError: unknown ``init``, or a checkpoint whose names or shapes do not fit the backbone.
    """
    if init == "none":
        return network
    path = _public_file(init, depth) if init in ("coco", "imagenet") else Path(init)
    if not path.is_file():
        raise FileNotFoundError(f"init: no file {path}; use coco, imagenet, none or the path of a checkpoint")
    _load_backbone(network, path)
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


def _load_backbone(network: FewShotSegmenter, path: Path) -> None:
    backbone: Any = network.encoder.backbone
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = {key.removeprefix("backbone."): value for key, value in state.items()}
    heads = ("fc.", "classifier.", "aux_classifier.")
    state = {key: value for key, value in state.items() if not key.startswith(heads)}
    kept = set(backbone.state_dict())
    stages = {key.split(".")[0] for key in kept}
    state = {key: value for key, value in state.items() if key.split(".")[0] in stages}
    try:
        backbone.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"init: {path} does not fit this encoder: {first}") from error
