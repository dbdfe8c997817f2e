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
Checkpoint = Annotated[Optional[Path], typer.Option(help="Trained weights; default: the bundle's models/model.pt.")]  # noqa: UP045
Overrides = Annotated[Optional[list[str]], typer.Option("--override", help="ID=VALUE, as often as needed.")]  # noqa: UP045
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
    checkpoint: Checkpoint = None,
    organs: Annotated[Optional[str], typer.Option(help="Label values, separated by commas; default: all.")] = None,  # noqa: UP045
    query_slices: Annotated[Optional[str], typer.Option(help="FIRST,LAST slice of the organ: protocol EP1.")] = None,  # noqa: UP045
    confidence: Annotated[bool, typer.Option(help="Also write the foreground probability.")] = False,
    precision: Annotated[Optional[str], typer.Option(help="Of the encoder: auto, float32 or bfloat16.")] = None,  # noqa: UP045
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
        overrides["checkpoint"] = str(checkpoint)
    if organs is not None:
        overrides["organs"] = _integers(organs, "--organs")
    if query_slices is not None:
        overrides["query_slices"] = _integers(query_slices, "--query-slices")
        overrides["protocol"] = "ep1"
    if precision is not None:
        overrides["precision"] = precision
    _run(bundle, ["inference"], config, "infer", overrides)


@app.command()
def statistics(
    bundle: Bundle,
    dataset_dir: Annotated[str, typer.Option(help="Folder of scans.")],
    config: Overlays = "",
    override: Overrides = None,
) -> None:
    """Print intensity mean and deviation over the training scans: intensity_mean and intensity_std for CT."""
    from .errors import guard

    guard(_statistics, bundle, dataset_dir, config, _overrides(override or []))


@app.command()
def crossval(
    bundle: Bundle,
    dataset: Annotated[
        str, typer.Option(help="Name; published folds for chaos_t2, sabs, mscmr, visceral.")
    ] = "phantom",
    data: Annotated[Optional[str], typer.Option(help="Its folder; default: the name, for phantom.")] = None,  # noqa: UP045
    folds: Annotated[Optional[str], typer.Option(help="Folds, for instance 0-4 or 0,3; default: all.")] = None,  # noqa: UP045
    repeats: Annotated[int, typer.Option(help="Trainings per fold, each with its own seed.")] = 1,
    protocols: Annotated[str, typer.Option(help="Evaluation protocols, separated by commas.")] = "ep1,ep2",
    setting: Annotated[int, typer.Option(help="1, or 2: test organs never in training slices.")] = 1,
    config: Overlays = "",
    ablation: Annotated[str, typer.Option(help="Also with each overlay of this ablation, such as kappa.")] = "",
    override: Overrides = None,
    output: Annotated[Path, typer.Option(help="Folder for one result file per run.")] = Path("results"),
    engine: Annotated[str, typer.Option(help="local, ray, or slurm: writes an array script.")] = "local",
    jobs: Annotated[int, typer.Option(help="Runs at the same time (local), or cores per run (ray).")] = 1,
    processes: Annotated[int, typer.Option(help="Processes per training, one per GPU, under torchrun.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first repeat.")] = 2021,
    task: Annotated[Optional[int], typer.Option(help="Execute this run of the list only.")] = None,  # noqa: UP045
) -> None:
    """Train and evaluate a bundle on all folds, resumably: one small result file per run."""
    from .errors import guard

    settings = {
        "dataset": dataset,
        "folds": _folds(folds) if folds else None,
        "repeats": repeats,
        "setting": setting,
        "seed": seed,
    }
    study = {"data": data or dataset, "output": output, "protocols": _names(protocols), "processes": processes}
    chosen = {**settings, "config": _names(config), "overrides": _overrides(override or [])}
    guard(_crossval, bundle, chosen, ablation, study, engine, jobs, task)


@app.command()
def table(
    results: Annotated[Path, typer.Argument(help="Folder of result files.")],
    form: Annotated[str, typer.Option("--format", help="text, markdown, latex, or csv: every case.")] = "text",
    page: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Rewrite this Markdown page between its markers instead."),
    ] = None,
    bundles: Annotated[Path, typer.Option(help="Folder of the bundles, for --page.")] = Path("bundles"),
) -> None:
    """Set our results beside the papers'."""
    from .errors import guard
    from .evaluation.comparison import format_results
    from .evaluation.page import write_results_page

    if page is not None:
        guard(write_results_page, results, page, bundles)
    else:
        typer.echo(guard(format_results, results, form), nl=False)


@app.command("analyse")
def analyse_runs(
    analysis: Annotated[str, typer.Argument(help="thresholds (ADNet) or misalignment (LSNet).")],
    results: Annotated[Path, typer.Argument(help="Folder that crossval wrote to.")],
    data: Annotated[str, typer.Option(help="Folder of the scans; phantom is built in.")] = "phantom",
    output: Annotated[Optional[Path], typer.Option(help="PNG; default: ANALYSIS.png in that folder.")] = None,  # noqa: UP045
    bundles: Annotated[Path, typer.Option(help="Folder of the bundles.")] = Path("bundles"),
    dataset: Annotated[Optional[str], typer.Option(help="Runs of this dataset only.")] = None,  # noqa: UP045
    config: Annotated[Optional[str], typer.Option(help="Runs with these overlays only, as crossval got them.")] = None,  # noqa: UP045
) -> None:
    """Evaluate the runs of a cross-validation in another way and draw a paper's figure of it."""
    from .errors import guard
    from .evaluation.analyses import analyse

    print(guard(analyse, analysis, results, data, bundles, output, dataset, config))


@app.command("prepare")
def prepare_data(
    challenge: Annotated[str, typer.Argument(help="chaos, sabs, mscmr, visceral or folder.")],
    input: Annotated[Path, typer.Option(help="Folder as downloaded and unpacked.")],
    output: Annotated[Path, typer.Option(help="Dataset folder to write: imagesTr, labelsTr, dataset.json.")],
    num_workers: Annotated[Optional[int], typer.Option(help="Processes; default: one for each core.")] = None,  # noqa: UP045
    skip_damaged: Annotated[bool, typer.Option(help="Leave damaged scans out instead of refusing all.")] = False,
) -> None:
    """Make a dataset folder of a challenge's download, at the preprocessing of the papers."""
    from .data.adapters import prepare
    from .errors import guard

    guard(prepare, challenge, input, output, num_workers, skip_damaged)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="Folder that crossval wrote to.")],
    output: Annotated[Optional[Path], typer.Option(help="HTML file; default: report.html in that folder.")] = None,  # noqa: UP045
    data: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Folder of the scans, for pictures; with several datasets DATASET=FOLDER for each."),
    ] = None,
    bundles: Annotated[Path, typer.Option(help="Folder of the bundles, for pictures.")] = Path("bundles"),
) -> None:
    """Write one HTML page about the results: tables, charts, pictures, manifest. It opens without network."""
    from .errors import guard
    from .evaluation.report import write_report

    print(guard(write_report, results, output, data, bundles))


@app.command("package")
def package_bundles(
    bundles: Annotated[Optional[list[Path]], typer.Argument(help="Bundle folders, for instance bundles/adnet.")] = None,  # noqa: UP045
    output: Annotated[Path, typer.Option(help="Folder for <name>/ and <name>_v<version>.zip.")] = Path("dist"),
    every: Annotated[bool, typer.Option("--all", help="Every bundle in the folder bundles.")] = False,
    checkpoint: Checkpoint = None,
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
    checkpoint: Checkpoint = None,
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


def _statistics(bundle: Path, dataset_dir: str, config: str, overrides: dict[str, Any]) -> None:
    from monai.transforms import Compose
    from tqdm import tqdm

    from .data import intensity_statistics
    from .workflow import bundle_workflow

    parser = bundle_workflow(bundle, ["train", *_names(config)], **overrides, dataset_dir=dataset_dir).parser
    prepare = Compose(parser.get_parsed_content("geometry"))
    items = parser.get_parsed_content("train#dataset").data
    mean, std = intensity_statistics(prepare(item) for item in tqdm(items, desc="reading scans", disable=None))
    print(f"intensity_mean: {mean:.4f}\nintensity_std: {std:.4f}")


def _crossval(
    bundle: Path,
    settings: dict[str, Any],
    ablation: str,
    shared: dict[str, Any],
    engine: str,
    jobs: int,
    task: int | None,
) -> None:
    import sys

    from .errors import InputError
    from .evaluation.ablations import ablation_overlays
    from .evaluation.engines import run_locally, run_on_ray, write_slurm
    from .evaluation.runs import Study, list_runs

    config = settings.pop("config")
    overlays = ablation_overlays(bundle, ablation, config) if ablation else []
    configs = [config, *([*config, overlay] for overlay in overlays)]
    runs = [run for chosen in configs for run in list_runs(bundle, config=chosen, data=shared["data"], **settings)]
    study = Study(bundle.absolute(), **shared)
    if task is not None:
        runs = runs[task : task + 1]
    if engine == "slurm":
        arguments = [part for part in sys.argv[2:] if part not in ("--engine", "slurm", "--engine=slurm")]
        print(write_slurm(study.output, arguments, len(runs), study.processes))
    elif engine == "ray":
        run_on_ray(study, runs, cpus=jobs)
    elif engine == "local":
        run_locally(study, runs, jobs)
    else:
        raise InputError(f"engine is local, ray or slurm, got {engine}")


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


def _folds(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    return (
        list(range(_integers(first, "--folds")[0], _integers(last, "--folds")[0] + 1))
        if dash
        else _integers(text, "--folds")
    )


def _overrides(texts: list[str]) -> dict[str, Any]:
    import yaml

    pairs = [text.partition("=") for text in texts]
    if any(not mark for _, mark, _ in pairs):
        raise typer.BadParameter(f"--override takes ID=VALUE, got {texts}")
    return {key: yaml.safe_load(value) for key, _, value in pairs}


def _integers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} takes whole numbers separated by commas, got {text!r}") from None


if __name__ == "__main__":
    main()
