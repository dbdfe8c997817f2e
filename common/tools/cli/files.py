"""Verbs that make files of other files: prepare, package, freeze, dicom-seg."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import InputError
from ...files.literals import split_paths
from .options import DEFAULT_BUNDLE, Bundle, Channel, Checkpoint, Outside, Overlays, Overwrite, TrainsWith, split_names


def prepare_data(
    challenge: Annotated[str, typer.Argument(help="chaos, sabs, mscmr, visceral or folder.")],
    input: Annotated[Path, typer.Option(help="Folder as downloaded and unpacked.")],
    output: Annotated[Path, typer.Option(help="Dataset folder to write: imagesTr, labelsTr, dataset.json.")],
    num_workers: Annotated[int | None, typer.Option(min=0, help="Processes; default: one for each core.")] = None,
    skip_damaged: Annotated[bool, typer.Option(help="Leave damaged scans out instead of refusing all.")] = False,
    channel: Channel = None,
    allow_outside: Outside = False,
) -> None:
    """Make a dataset folder of a challenge's download, at the preprocessing of the papers."""
    from ..challenges import prepare

    options: dict[str, Any] = {"channel": channel, "allow_outside": allow_outside}
    prepare(challenge, input, output, num_workers, skip_damaged, **options)


def package_bundles(
    bundles: Annotated[list[Path] | None, typer.Argument(help="Names of bundles, or their folders.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for <name>/ and <name>_v<version>.zip.")] = Path("dist"),
    every: Annotated[bool, typer.Option("--all", help="Every bundle of the project.")] = False,
    checkpoint: Checkpoint = None,
    config: TrainsWith = "",
    variant: Annotated[str | None, typer.Option(help="3d: ADNet in 3D as a bundle of its own.")] = None,
    weights_url: Annotated[
        str | None, typer.Option(help="Where you will put the weights; {file} is their name. They are then left out.")
    ] = None,
    any_size: Annotated[bool, typer.Option(help="Weights of any size inside, for your own server.")] = False,
    organs: Annotated[str, typer.Option(help="1=liver,2=spleen: what MONAI Label's clients call the organs.")] = "",
    overwrite: Overwrite = False,
) -> None:
    """Make bundles that run with MONAI alone: for MONAI Label, for colleagues, for the model zoo."""
    from ...configuration.workflow import bundle_folder, shipped_bundles
    from ...data.dicom.organs import parse_names
    from ..packaging.package import package_all

    folders = shipped_bundles() if every else [bundle_folder(bundle) for bundle in bundles or []]
    if not folders:
        raise InputError("name bundles, for instance adnet, or give --all")
    if checkpoint is not None and len(folders) > 1:
        raise InputError("--checkpoint belongs to one bundle")
    options: dict[str, Any] = {"checkpoint": checkpoint, "config": split_names(config), "variant": variant}
    options |= {"overwrite": overwrite, "weights_url": weights_url, "any_size": any_size}
    options["organs"] = parse_names(organs, "--organs")
    for path in package_all(folders, output, **options):
        print(path)


def start_method(
    name: Annotated[str, typer.Argument(help="Of the folder: small letters, digits and _.")],
    title: Annotated[str | None, typer.Option(help="Name to show, such as MyNet; default: NAME.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the bundles.")] = Path("bundles"),
) -> None:
    """Start a method of your own: a bundle that works, a prototypical network to be replaced."""
    from ..new_method import new_method

    folder = new_method(name, title, output)
    print(f"made {folder}, a prototypical network that trains, segments and is packaged as it stands; next:")
    print(f"  write the method into {folder}/scripts/network.py, and its settings into {folder}/configs/train.yaml")
    print(f"  say in {folder}/about.yaml what its paper reports and what its training must reach")
    print(f"  fewshot train --bundle {folder} --config quick")
    print(f"  python -m pytest -k {name}")


def freeze_organ(
    support_image: Annotated[
        list[str], typer.Option("--support-image", "--support_image", help="Annotated scan; repeat it for several.")
    ],
    support_label: Annotated[
        list[str], typer.Option("--support-label", "--support_label", help="Its label map; one drawn slice is enough.")
    ],
    organ: Annotated[str, typer.Option(help="Name in the dataset.json of the label map's dataset, or label value.")],
    output: Annotated[Path, typer.Option(help="File to write: .ts for TorchScript, .onnx for ONNX.")],
    bundle: Bundle = DEFAULT_BUNDLE,
    config: Overlays = "",
    checkpoint: Checkpoint = None,
    onnx: Annotated[bool, typer.Option(help="Write ONNX beside the .ts file too.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Make one organ of one annotated scan a plain network, for servers: TorchScript, ONNX."""
    from ...configuration.workflow import bundle_folder
    from ..packaging.freeze import freeze

    images, labels = (
        [path for text in texts for path in split_paths(text)] for texts in (support_image, support_label)
    )
    options: dict[str, Any] = {"config": split_names(config), "checkpoint": checkpoint, "onnx": onnx}
    for path in freeze(bundle_folder(bundle), images, labels, organ, output, **options, overwrite=overwrite):
        print(path)


def dicom_seg(
    series: Annotated[Path, typer.Option(help="Folder of the DICOM series that the label map belongs to.")],
    label: Annotated[Path, typer.Option(help="Label map on the series' grid, NIfTI.")],
    output: Annotated[Path, typer.Option(help="DICOM-SEG to write.")],
    names: Annotated[str, typer.Option(help='Label values and organs: "1=liver,6=left kidney"; default: all.')] = "",
    bundle: Annotated[Path | None, typer.Option(help="Bundle that made the label map: names the algorithm.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a label map as DICOM-SEG, with coded organs and references to its series."""
    from ...configuration.workflow import bundle_folder
    from ...data.dicom.organs import parse_names
    from ...data.dicom.seg_writer import algorithm_of, write_segmentation
    from ...results.marks import check_output, mark_of

    bundle = None if bundle is None else bundle_folder(bundle)
    mark = mark_of("dicom-seg", series, label, names, bundle)
    check_output(output, mark, [series, label], overwrite)
    print(write_segmentation(series, label, output, parse_names(names), *algorithm_of(bundle), mark=mark))
