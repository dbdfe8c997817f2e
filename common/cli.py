"""``fewshot``: each verb builds and runs a bundle's configuration or calls one function of ``common``.

Heavy packages are loaded inside the verbs, so that ``fewshot --help`` answers at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Few-shot medical image segmentation bundles.")
supervoxels_app = typer.Typer(no_args_is_help=True, help="Supervoxels, the pseudo-labels of training.")
app.add_typer(supervoxels_app, name="supervoxels")

Bundle = Annotated[Path, typer.Option(help="Bundle folder, for instance bundles/adnet.")]
Overlays = Annotated[str, typer.Option("--config", help="Overlays of the bundle's configs, separated by commas.")]


@app.command()
def train(
    bundle: Bundle,
    dataset_dir: Annotated[
        str, typer.Option(help="Folder of scans, labels optional; phantom is built in.")
    ] = "phantom",
    config: Overlays = "",
    resume: Annotated[bool, typer.Option(help="Continue from the newest checkpoint.")] = False,
) -> None:
    """Train without labels on your own scans."""
    _run(bundle, ["train"], config, "train", {"dataset_dir": dataset_dir, "resume": resume})


@app.command()
def evaluate(
    bundle: Bundle,
    dataset_dir: Annotated[str, typer.Option(help="Folder of labelled scans; phantom is built in.")] = "phantom",
    config: Overlays = "",
    fold: Annotated[int, typer.Option(help="Fold whose queries are scored.")] = 0,
) -> None:
    """Score a trained bundle under EP1 and EP2, case by case."""
    overlays = ",".join(part for part in (config, "evaluate") if part)
    _run(bundle, ["train"], overlays, "train", {"dataset_dir": dataset_dir, "fold": fold})


@app.command()
def segment(
    bundle: Bundle,
    support_image: Annotated[str, typer.Option(help="Annotated scan; several separated by commas.")],
    support_label: Annotated[str, typer.Option(help="Its label map; one drawn slice is enough.")],
    image: Annotated[str, typer.Option(help="Scan to segment; several separated by commas.")],
    output_dir: Annotated[Path, typer.Option(help="Folder for <scan>_seg.nii.gz.")],
    config: Overlays = "",
    checkpoint: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Trained weights; default: the bundle's models/model.pt."),
    ] = None,
    organs: Annotated[Optional[str], typer.Option(help="Label values, separated by commas; default: all.")] = None,  # noqa: UP045
    query_slices: Annotated[Optional[str], typer.Option(help="FIRST,LAST slice of the organ: protocol EP1.")] = None,  # noqa: UP045
    confidence: Annotated[bool, typer.Option(help="Also write the foreground probability.")] = False,
) -> None:
    """Segment a new scan from one annotated scan or slice, in the new scan's own geometry."""
    overrides: dict[str, Any] = {
        "support_image": support_image,
        "support_label": support_label,
        "image": image,
        "output_dir": str(output_dir),
        "confidence": confidence,
    }
    if checkpoint is not None:
        overrides["checkpoint"] = checkpoint
    if organs is not None:
        overrides["organs"] = _integers(organs, "--organs")
    if query_slices is not None:
        overrides["query_slices"] = _integers(query_slices, "--query-slices")
        overrides["protocol"] = "ep1"
    _run(bundle, ["inference"], config, "infer", overrides)


@app.command()
def statistics(
    bundle: Bundle, dataset_dir: Annotated[str, typer.Option(help="Folder of scans.")], config: Overlays = ""
) -> None:
    """Print intensity mean and deviation over the training scans: intensity_mean and intensity_std for CT."""
    from .errors import guard

    guard(_statistics, bundle, dataset_dir, config)


@app.command("package")
def package_bundles(
    bundles: Annotated[Optional[list[Path]], typer.Argument(help="Bundle folders, for instance bundles/adnet.")] = None,  # noqa: UP045
    output: Annotated[Path, typer.Option(help="Folder for <name>/ and <name>_v<version>.zip.")] = Path("dist"),
    every: Annotated[bool, typer.Option("--all", help="Every bundle in the folder bundles.")] = False,
    checkpoint: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Trained weights; default: the bundle's models/model.pt."),
    ] = None,
    config: Overlays = "",
    variant: Annotated[Optional[str], typer.Option(help="3d: ADNet in 3D as a bundle of its own.")] = None,  # noqa: UP045
    weights_url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Where you will put the weights; {file} is their name. They are then left out."),
    ] = None,
    any_size: Annotated[bool, typer.Option(help="Weights of any size inside, for your own server.")] = False,
) -> None:
    """Make bundles that run with MONAI alone: for MONAI Label, for colleagues, for the model zoo."""
    from .errors import guard
    from .packaging.package import package_all

    folders = sorted(path.parent for path in Path("bundles").glob("*/configs")) if every else bundles
    if not folders:
        raise typer.BadParameter("name bundle folders, or --all from the folder that holds bundles/")
    if checkpoint is not None and len(folders) > 1:
        raise typer.BadParameter("--checkpoint belongs to one bundle")
    options = {"checkpoint": checkpoint, "config": _names(config), "variant": variant}
    for path in guard(package_all, folders, output, **options, weights_url=weights_url, any_size=any_size):
        print(path)


@app.command("freeze")
def freeze_organ(
    bundle: Bundle,
    support_image: Annotated[
        str, typer.Option("--support-image", "--support_image", help="Annotated scan; several separated by commas.")
    ],
    support_label: Annotated[
        str, typer.Option("--support-label", "--support_label", help="Its label map; one drawn slice is enough.")
    ],
    organ: Annotated[str, typer.Option(help="Name in the dataset.json of the label map's dataset, or label value.")],
    output: Annotated[Path, typer.Option(help="File to write: .ts for TorchScript, .onnx for ONNX.")],
    config: Overlays = "",
    checkpoint: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Trained weights; default: the bundle's models/model.pt."),
    ] = None,
    onnx: Annotated[bool, typer.Option(help="Write ONNX beside the .ts file too.")] = False,
) -> None:
    """Make one organ of one annotated scan a plain network, for servers: TorchScript, ONNX."""
    from .errors import guard
    from .packaging.freeze import freeze

    support = (support_image, support_label, organ)
    for path in guard(freeze, bundle, *support, output, config=_names(config), checkpoint=checkpoint, onnx=onnx):
        print(path)


@app.command("dicom-seg")
def dicom_seg(
    series: Annotated[Path, typer.Option(help="Folder of the DICOM series that the label map belongs to.")],
    label: Annotated[Path, typer.Option(help="Label map on the series' grid, NIfTI.")],
    output: Annotated[Path, typer.Option(help="DICOM-SEG to write.")],
    names: Annotated[str, typer.Option(help='Label values and organs: "1=liver,6=left kidney"; default: all.')] = "",
    bundle: Annotated[Optional[Path], typer.Option(help="Bundle that made the label map: names the algorithm.")] = None,  # noqa: UP045
) -> None:
    """Write a label map as DICOM-SEG, with coded organs and references to its series."""
    from .errors import guard

    print(guard(_dicom_seg, series, label, output, names, bundle))


@supervoxels_app.command()
def preview(
    image: Annotated[Path, typer.Option(help="Scan.")],
    output: Annotated[Path, typer.Option(help="PNG to write.")],
    bundle: Bundle = Path("bundles/adnet"),
    config: Overlays = "",
) -> None:
    """Draw a scan's supervoxels as the bundle would compute them, with a histogram of their sizes."""
    from .errors import guard

    guard(_preview, image, output, bundle, config)


def main() -> None:
    """Entry point of the console script."""
    app()


def _run(bundle: Path, base: list[str], config: str, kind: str, overrides: dict[str, Any]) -> None:
    from .errors import guard
    from .workflow import bundle_workflow

    workflow = guard(bundle_workflow, bundle, base + _names(config), kind, **overrides)
    guard(workflow.run)


def _statistics(bundle: Path, dataset_dir: str, config: str) -> None:
    from monai.transforms import Compose
    from tqdm import tqdm

    from .data import intensity_statistics
    from .workflow import bundle_workflow

    parser = bundle_workflow(bundle, ["train", *_names(config)], dataset_dir=dataset_dir).parser
    prepare = Compose(parser.get_parsed_content("geometry"))
    items = parser.get_parsed_content("train#dataset").data
    mean, std = intensity_statistics(prepare(item) for item in tqdm(items, desc="reading scans", disable=None))
    print(f"intensity_mean: {mean:.4f}\nintensity_std: {std:.4f}")


def _dicom_seg(series: Path, label: Path, output: Path, names: str, bundle: Path | None) -> Path:
    from .dicom import algorithm_of, parse_names, write_segmentation

    return write_segmentation(series, label, output, parse_names(names), *algorithm_of(bundle))


def _preview(image: Path, output: Path, bundle: Path, config: str) -> None:
    from .supervoxels.preview import preview as draw
    from .workflow import bundle_workflow

    parser = bundle_workflow(bundle, ["train", *_names(config)]).parser
    item = parser.get_parsed_content("train#preprocessing")({"image": os.fspath(image)})
    min_size = parser.get("supervoxel_min_size", 0)  # superpixels and SLIC have none
    print(draw(item["image"], item["supervoxels"], output, min_size))


def _names(config: str) -> list[str]:
    return [name.strip() for name in config.split(",") if name.strip()]


def _integers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} takes whole numbers separated by commas, got {text!r}") from None


if __name__ == "__main__":
    main()
