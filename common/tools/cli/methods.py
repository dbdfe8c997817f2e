"""Verbs that run one bundle: evaluate, segment, statistics, supervoxels preview."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ...files.literals import literal
from .options import (
    DEFAULT_BUNDLE,
    Bundle,
    Channel,
    Checkpoint,
    Data,
    Device,
    Outside,
    Overlays,
    Overrides,
    Overwrite,
    TrainedWith,
    dataset_settings,
    file_setting,
    given,
    read_integers,
    read_overrides,
    split_names,
)


def evaluate(
    bundle: Bundle = DEFAULT_BUNDLE,
    data: Data = "phantom",
    config: Overlays = "",
    checkpoint: Checkpoint = None,
    output_dir: Annotated[Path | None, typer.Option(help="Folder for scores; default: the bundle's eval.")] = None,
    fold: Annotated[int, typer.Option(min=0, max=4, help="Fold whose queries are scored.")] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Of what is drawn at random.")] = None,
    device: Device = None,
    override: Overrides = None,
    channel: Channel = None,
    allow_outside: Outside = False,
) -> None:
    """Score a trained bundle under EP1 and EP2, case by case."""
    overlays = ",".join(part for part in (config, "evaluate") if part)
    settings = {**dataset_settings(data, channel, allow_outside), "fold": fold}
    settings |= given(checkpoint=checkpoint, output_dir=output_dir, seed=seed, device=device)
    settings |= read_overrides(override or [])
    _run(bundle, ["train"], overlays, "train", settings)


def segment(
    support_image: Annotated[list[str], typer.Option(help="Annotated scan; repeat it for several.")],
    support_label: Annotated[list[str], typer.Option(help="Its label map; one drawn slice is enough.")],
    image: Annotated[list[str], typer.Option(help="Scan to segment; repeat it for several.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for <scan>_seg.nii.gz.")],
    bundle: Bundle = DEFAULT_BUNDLE,
    config: TrainedWith = "",
    checkpoint: Checkpoint = None,
    organs: Annotated[str | None, typer.Option(help="Label values, separated by commas; default: all.")] = None,
    query_slices: Annotated[str | None, typer.Option(help="FIRST,LAST slice of the organ: protocol EP1.")] = None,
    names: Annotated[
        str, typer.Option(help="Organs by label value: 1=liver,4=spleen; default: those of the map.")
    ] = "",
    largest_components: Annotated[
        int | None, typer.Option(help="Keep so many of the largest pieces of each organ: 1 suits most; default: all.")
    ] = None,
    confidence: Annotated[bool, typer.Option("--confidence", help="Also write the foreground probability.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Also write a picture, support beside answer.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each scan instead of text.")
    ] = False,
    precision: Annotated[str | None, typer.Option(help="Of the encoder: auto, float32 or bfloat16.")] = None,
    device: Device = None,
    override: Overrides = None,
    overwrite: Overwrite = False,
) -> None:
    """Segment a new scan from one annotated scan or slice; the result is on the new scan's grid."""
    from ...data.dicom.organs import parse_names

    overrides: dict[str, Any] = {
        "support_image": file_setting(support_image),
        "support_label": file_setting(support_label),
        "image": file_setting(image),
        "output_dir": literal(output_dir),
        "confidence": confidence,
        "preview": preview,
        "overwrite": overwrite,
        "summary": "json" if as_json else "text",
        "organ_names": parse_names(names),
    }
    if organs is not None:
        overrides["organs"] = read_integers(organs, "--organs")
    if query_slices is not None:
        overrides |= {"query_slices": read_integers(query_slices, "--query-slices"), "protocol": "ep1"}
    overrides |= given(checkpoint=checkpoint, precision=precision, device=device, largest_components=largest_components)
    overrides["trained#configs"] = ["train", *split_names(config)]
    overrides |= read_overrides(override or [])
    _run(bundle, ["inference"], "", "infer", overrides)


def statistics(
    data: Annotated[str, typer.Option("--data", "--dataset-dir", help="Folder of scans.")],
    bundle: Bundle = DEFAULT_BUNDLE,
    config: Overlays = "",
    override: Overrides = None,
    channel: Channel = None,
    allow_outside: Outside = False,
) -> None:
    """Print intensity mean and deviation over the training scans: intensity_mean and intensity_std for CT."""
    from monai.transforms import Compose
    from tqdm import tqdm

    from ...data import intensity_statistics
    from .quiet import workflow

    overrides = read_overrides(override or []) | dataset_settings(data, channel, allow_outside)
    parser = workflow(bundle, ["train", *split_names(config)], **overrides).parser
    prepare = Compose(parser.get_parsed_content("prepare").geometry)
    items = parser.get_parsed_content("train#dataset").data
    mean, std = intensity_statistics(prepare(item) for item in tqdm(items, desc="reading scans", disable=None))
    print(f"intensity_mean: {mean:.4f}\nintensity_std: {std:.4f}")


def preview(
    image: Annotated[Path, typer.Option(help="Scan.")],
    output: Annotated[Path, typer.Option(help="PNG to write.")],
    bundle: Bundle = DEFAULT_BUNDLE,
    config: Overlays = "",
    override: Overrides = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw a scan's supervoxels as the bundle would compute them, with a histogram of their sizes."""
    from ...configuration.workflow import bundle_folder
    from ...errors import InputError
    from ...results.marks import check_output, mark_of
    from ...supervoxels.preview import preview as draw
    from .quiet import workflow

    bundle = bundle_folder(bundle)
    overrides = read_overrides(override or [])
    mark = mark_of("preview", image, bundle, config, overrides)
    check_output(output, mark, [image], overwrite)
    parser = workflow(bundle, ["train", *split_names(config)], **overrides).parser
    if parser.get_parsed_content("train#dataset#labelled"):
        raise InputError(f"{bundle.name} trains on drawn organs so, not on supervoxels; add the overlay train_ssl")
    item = parser.get_parsed_content("train#preprocessing")({"image": os.fspath(image)})
    min_size = parser.get("supervoxel_min_size", 0)  # superpixels and SLIC have none
    print(draw(item["image"], item["supervoxels"], output, min_size, mark=mark))


def where(bundle: Annotated[Path, typer.Argument(help="Name of a bundle.")] = DEFAULT_BUNDLE) -> None:
    """Print a bundle's folder, for python -m monai.bundle run."""
    from ...configuration.workflow import bundle_folder

    print(bundle_folder(bundle))


def _run(bundle: Path, base: list[str], config: str, kind: str, overrides: dict[str, Any]) -> None:
    from .quiet import workflow

    workflow(bundle, base + split_names(config), kind, **overrides).run()
