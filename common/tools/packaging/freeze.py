"""Freeze a trained network together with one annotated scan: one image in, log-probabilities of one organ out."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.config import get_config_values
from monai.data import MetaTensor, save_net_with_metadata
from torch import Tensor, nn

from ...configuration.trained import Trained
from ...configuration.workflow import bundle_workflow
from ...data.companions import organ_names
from ...errors import InputError
from ...files.literals import literal, split_paths
from ...files.writing import whole_file
from ...networks import ConditionedSegmenter, load_network
from ...results.marks import check_output, mark_of


def freeze(
    bundle: str | Path,
    support_image: str | Sequence[str],
    support_label: str | Sequence[str],
    organ: str | int,
    output: str | Path,
    config: Sequence[str] = (),
    checkpoint: str | Path | None = None,
    onnx: bool = False,
    overwrite: bool = False,
    **overrides: Any,
) -> list[Path]:
    """Write a bundle's network conditioned on a support as TorchScript, ONNX or both.

    The support slices, or windows of a 3D network, are those that the bundle's own inferer takes under protocol EP2.

    Args:
        bundle: folder of the bundle.
        support_image: path of the annotated scan, or paths (a list, or separated by commas) for several shots.
        support_label: path or paths of the label maps in the same order.
        organ: name, looked up in the ``dataset.json`` of the label map's dataset, or value in the label map.
        output: file to write: ``.ts`` for TorchScript, ``.onnx`` for ONNX.
        config: overlays of the training, for weights without settings.
        checkpoint: trained weights; None takes the bundle's.
        onnx: write ONNX beside the TorchScript file too.
        overwrite: replace files that another command or a person made.
        overrides: further settings of the inference configuration that the network was trained with.

    Returns:
        The files written.

    Raises:
        InputError: a file would be lost, unknown organ or kind of file, no such organ in the label map, unsuitable
            weights, or the packages that write ONNX are missing.
        FileNotFoundError: no checkpoint.
    """
    output = Path(output)
    if output.suffix not in (".ts", ".onnx"):
        raise InputError(f"{output}: a frozen network is a .ts file (TorchScript) or an .onnx file")
    targets = [output, *([output.with_suffix(".onnx")] if onnx and output.suffix == ".ts" else [])]
    if targets[-1].suffix == ".onnx":
        _check_onnx_packages()
    name, value = _organ(organ, split_paths(support_label))
    files = {"support_image": split_paths(support_image), "support_label": split_paths(support_label)}
    places = [Path(path) for paths in files.values() for path in paths]
    mark = mark_of("freeze", Path(bundle), places, value, list(config), checkpoint, overrides)
    for target in targets:
        check_output(target, mark, places, overwrite)
    settings: dict[str, Any] = {key: literal(paths) for key, paths in files.items()}
    settings |= {"organs": [value], "protocol": "ep2", "precision": "float32"}
    if checkpoint is not None:
        settings["checkpoint"] = literal(checkpoint)
    settings["trained#configs"] = ["train", *config]
    parser = bundle_workflow(bundle, ["inference"], "infer", **overrides, **settings).parser
    support_images, support_masks = _support(parser)
    segmenter = load_network(parser.get_parsed_content("network_def"), parser.get_parsed_content("checkpoint"))
    network = ConditionedSegmenter(segmenter, support_images, support_masks).eval().requires_grad_(False)
    metadata = {**_metadata(parser, Path(bundle), name, value, support_images), "made_by": mark}
    for target in targets:
        with whole_file(target) as draft:
            if target.suffix == ".ts":
                _save_torchscript(network, draft, metadata)
            else:
                _save_onnx(network, support_images[:1], draft, metadata)
    return targets


def _support(parser: ConfigParser) -> tuple[Tensor, Tensor]:
    """Return preprocessed support images and masks ``(K, 1, *S)``."""
    carrier = parser.get_parsed_content("load_support")({"image": MetaTensor(torch.zeros(1))})["image"]
    query = MetaTensor(carrier.meta["support_image"][0][None], meta=carrier.meta)
    images, masks = parser.get_parsed_content("inferer").select_support(query)
    return images.contiguous(), masks.contiguous()


def _organ(organ: str | int, label_maps: list[str]) -> tuple[str, int]:
    """Return name and label value; an organ given by value that has no name is called by its number."""
    named = {name: value for value, name in organ_names(label_maps).items()}
    if str(organ).isdecimal() and int(organ) > 0:
        return next((name for name, value in named.items() if value == int(organ)), str(organ)), int(organ)
    if organ in named:
        return str(organ), named[str(organ)]
    known = (
        f"beside the label map are named {', '.join(named)}"
        if named
        else "nothing in or beside the label map names organs"
    )
    raise InputError(f"organ {organ!r} is unknown: {known}; or give its value in the label map")


def _metadata(parser: ConfigParser, bundle: Path, name: str, value: int, support: Tensor) -> dict[str, Any]:
    trained: Trained = parser.get_parsed_content("trained")
    shape = list(support.shape[1:])
    axes = ["batch", "channel", "X", "Y", "Z"][: len(shape) + 1]
    return {
        **get_config_values(),
        "organ": name,
        "label": value,
        "bundle": bundle.absolute().name,
        "bundle_name": parser["_meta_#name"],
        "bundle_version": parser["_meta_#version"],
        "input": {"name": "image", "dtype": "float32", "axes": axes, "shape": ["batch", *shape]},
        "output": {
            "name": "pred",
            "dtype": "float32",
            "axes": axes,
            "shape": ["batch", 2, *shape[1:]],
            "content": "log-probabilities",
            "classes": ["background", name],
        },
        "preprocessing": trained.arguments("prepare"),
        "inference": trained.arguments("inferer"),
        "support_images": len(support),
    }


def _check_onnx_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"ONNX needs {error.name}: pip install onnx onnxscript, or write a .ts file") from error


def _save_torchscript(network: nn.Module, target: Path, metadata: Mapping[str, Any]) -> None:
    archive = io.BytesIO()
    save_net_with_metadata(torch.jit.script(network), archive, include_config_vals=False, meta_values=metadata)
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as stripped:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):  # they name the folders of this machine
                stripped.writestr(entry, source.read(entry))


def _save_onnx(network: nn.Module, image: Tensor, target: Path, metadata: Mapping[str, Any]) -> None:
    """Write ONNX for any number of images of the size of ``image`` ``(1, 1, *S)``; properties that nest are JSON."""
    import onnx

    for name in ("torch.onnx", "onnx_ir", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they tell of each optimisation
    example = torch.cat([image, image])  # one image alone would fix the number
    dynamic = {"image": {0: torch.export.Dim("batch")}}
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["pred"]}
    program: Any = torch.onnx.export(network, (example,), **names, dynamic_shapes=dynamic, dynamo=True, verbose=False)
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # they name the folders of this machine
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model)
    onnx.save(model, target)
