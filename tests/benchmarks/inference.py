"""Seconds to segment a volume under EP2, naive too; ``python -m tests.benchmarks.inference BUNDLE DEPTH``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from monai.metrics import compute_dice
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from common.configuration.workflow import bundle_workflow
from common.inferers.support import probabilities, read_support
from common.speed.encoding import Encoding
from tests.benchmarks.data import query_with_support
from tests.benchmarks.measure import CUDA, DEVICE, peak_bytes, take_turns

BUNDLES = Path(__file__).parents[2] / "bundles"
ORGANS = 4
ROUNDS = 5 if CUDA else 3


def measure(bundle: str, depth: int, rounds: int = ROUNDS, **settings: Any) -> dict[str, Any]:
    """Time one volume of the bundle's own size.

    Args:
        bundle: its name.
        depth: slices of the volume; volumes that the bundle brings to one size have that.
        rounds: that count.
        settings: of inference.yaml.
    """
    settings = {"checkpoint": None, **settings}  # the bundle's own network, not that of the weights that come with it
    parser = bundle_workflow(BUNDLES / bundle, ["inference"], kind="infer", **settings).parser
    network, inferer = (parser.get_parsed_content(name) for name in ("network", "inferer"))
    plane = (parser.get_parsed_content("image_size"),) * 2
    size = tuple(parser.get_parsed_content("volume_size")) if "volume_size" in parser.config else (*plane, depth)
    queries = {organs: query_with_support(size, organs) for organs in (1, ORGANS)}
    settle(network, queries[ORGANS])

    def shipped(precision: str, organs: int) -> Tensor:
        encoding = encodings[precision]
        inferer.encode = encoding
        return inferer(queries[organs], network)

    encodings = {precision: Encoding(precision, inferer.encode.batch_size) for precision in ("float32", "auto")}
    flow = naive_slices if hasattr(inferer, "pair_slices") else naive_volume
    functions = {"naive": lambda: flow(network, inferer, queries[ORGANS])}
    for precision in encodings:
        for organs in queries:
            functions[f"{precision}, {organs}"] = lambda p=precision, n=organs: shipped(p, n)
    with torch.no_grad():
        reference, exact, fast = functions["naive"](), shipped("float32", ORGANS), shipped("auto", ORGANS)
        seconds = take_turns(functions, rounds, warm_up=1 if CUDA else 0)
        memory = {name: peak_bytes(functions[name]) for name in (f"float32, {ORGANS}", f"auto, {ORGANS}")}
        with FlopCounterMode(display=False) as counter:
            shipped("float32", ORGANS)
    masks = [answer[0, 1:] > 0.5 for answer in (reference, exact, fast)]
    return {
        "bundle": bundle,
        "size": list(size),
        "seconds": seconds,
        "peak_bytes": memory,
        "operations": counter.get_total_flops(),
        "naive_pixels_that_differ": int((masks[0] != masks[1]).sum()),
        "foreground": float(masks[1].float().mean()),
        "dice_of_precisions": float(compute_dice(masks[2][None], masks[1][None], ignore_empty=False).min()),
    }


def naive_slices(network: nn.Module, inferer: Any, query: Tensor) -> Tensor:
    """Organ by organ and slice by slice, each pair of slices encoded anew: how the papers' code evaluates."""
    support = read_support(query)
    volume = query.as_tensor()[0, 0]
    foreground = volume.new_zeros((len(support.organs), *volume.shape))
    images, labels = (torch.cat(volumes, dim=2) for volumes in (support.images, support.labels))
    for rows in inferer.pair_slices(query, support):
        for index, organ, *shots in rows.tolist():
            mask = (labels[:, :, shots] == support.organs[organ]).to(volume.dtype)
            answer = network(volume[None, None, :, :, index], _shots(images[:, :, shots]), _shots(mask))
            foreground[organ, :, :, index] = answer[0, 1].exp()
    return probabilities(foreground, query)


def naive_volume(network: nn.Module, inferer: Any, query: Tensor) -> Tensor:
    """Organ by organ, query and support encoded anew for each."""
    inferer.encode = Encoding("float32", inferer.encode.batch_size)
    answers, organs = [], query.meta["support_organs"]
    for organ in organs:
        query.meta["support_organs"] = organ[None]
        answers.append(inferer(query, network)[0, 1])
    query.meta["support_organs"] = organs
    return probabilities(torch.stack(answers).as_tensor(), query)


def settle(network: Any, query: Tensor) -> None:
    """Give random weights statistics that fit the scan, and a learned threshold a value that cuts the masks in two."""
    network.to(DEVICE).train()
    image = query.as_tensor()
    image = image[..., :4].movedim(-1, 0)[:, 0] if _is_plane(network) else image
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None
        network.encode(image)
        network.eval()
        if hasattr(network, "threshold"):
            features = network.encode(image[:1])
            mask = torch.zeros_like(image[:1, None])
            mask[..., : mask.shape[-2] // 4, : mask.shape[-1] // 4] = 1
            scores = network.segment(features, features[:, None], mask)
            network.threshold -= (scores[:, 1] - scores[:, 0]).median() / network.kappa


def _is_plane(network: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in network.modules())


def _shots(slices: Tensor) -> Tensor:
    """Turn slices ``(X, Y, K)`` into ``(1, K, 1, X, Y)``."""
    return slices.movedim(-1, 0)[None, :, None]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
