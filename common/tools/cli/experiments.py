"""Verbs about cross-validations: crossval, table, analyse, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import InputError
from .options import DEFAULT_BUNDLE, Bundle, Overlays, Overrides, Overwrite, read_folds, read_overrides, split_names


def crossval(
    bundle: Bundle = DEFAULT_BUNDLE,
    dataset: Annotated[
        str, typer.Option(help="Name; published folds for chaos_t2, sabs, mscmr, visceral.")
    ] = "phantom",
    data: Annotated[str | None, typer.Option(help="Its folder; default: the name, for phantom.")] = None,
    folds: Annotated[str | None, typer.Option(help="Folds, for instance 0-4 or 0,3; default: all.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Trainings per fold, each with its own seed.")] = 1,
    protocols: Annotated[str, typer.Option(help="Evaluation protocols, separated by commas.")] = "ep1,ep2",
    setting: Annotated[int, typer.Option(min=1, max=2, help="1, or 2: test organs never in training slices.")] = 1,
    untrained: Annotated[bool, typer.Option("--untrained", help="Score the networks as they are initialised.")] = False,
    config: Overlays = "",
    ablation: Annotated[str, typer.Option(help="Also with each overlay of this ablation, such as kappa.")] = "",
    override: Overrides = None,
    output: Annotated[
        Path, typer.Option("--output-dir", "--output", help="Folder for one result file per run.")
    ] = Path("results"),
    engine: Annotated[str, typer.Option(help="local, ray, or slurm: writes an array script.")] = "local",
    jobs: Annotated[int, typer.Option(min=1, help="Runs at the same time (local), or cores per run (ray).")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Processes per training, one per GPU, under torchrun.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first repeat.")] = 2021,
    task: Annotated[int | None, typer.Option(min=0, help="Execute this run of the list only.")] = None,
) -> None:
    """Train and evaluate a bundle on all folds, resumably: one small result file per run."""
    import sys

    from ...configuration.settings import check_value
    from ...configuration.workflow import bundle_folder, check_configuration
    from ...handlers.resuming import make_folder
    from ..crossval.engines import run_locally, run_on_ray, write_slurm
    from ..crossval.provenance import scans
    from ..crossval.runs import CHALLENGES, Experiment, ablation_overlays, list_runs

    bundle = bundle_folder(bundle)
    experiment = Experiment(bundle, data or dataset, output, split_names(protocols), processes)
    overrides = read_overrides(override or [])
    settings: dict[str, Any] = {"repeats": repeats, "setting": setting, "untrained": untrained, "seed": seed}
    settings |= {"dataset": dataset, "data": experiment.data, "folds": None if folds is None else read_folds(folds)}
    if engine not in ("local", "ray", "slurm"):
        raise InputError(f"--engine is {engine!r}; it takes local, ray or slurm")
    check_value("protocols", experiment.protocols)
    base = split_names(config)
    if dataset in CHALLENGES and dataset not in base:  # its folds go with its preprocessing
        base = [dataset, *base]
    configs = [base, *([*base, overlay] for overlay in (ablation_overlays(bundle, ablation, base) if ablation else []))]
    for names in configs:
        check_configuration(bundle, ["train", *names, "evaluate"], overrides)
    runs = [run for names in configs for run in list_runs(bundle, config=names, overrides=overrides, **settings)]
    if task is not None:
        if task >= len(runs):
            raise InputError(f"--task is {task}; it takes a run of the list, from 0 to {len(runs) - 1}")
        runs = [runs[task]]
    if engine != "slurm":  # a SLURM script may be written elsewhere
        scans(experiment, runs[0])
        make_folder(output, "--output")
    if engine == "slurm":
        arguments = sys.argv[sys.argv.index("crossval") + 1 :]
        kept = [part for part in arguments if part not in ("--engine", "slurm", "--engine=slurm")]
        print(write_slurm(output, kept, len(runs), processes))
    elif engine == "ray":
        run_on_ray(experiment, runs, cpus=jobs)
    else:
        run_locally(experiment, runs, jobs)


def table(
    results: Annotated[Path, typer.Argument(help="Folder of result files.")],
    form: Annotated[str, typer.Option("--format", help="text, markdown, latex, or csv: every case.")] = "text",
    page: Annotated[Path | None, typer.Option(help="Rewrite this Markdown page between its markers instead.")] = None,
    bundles: Annotated[Path, typer.Option(help="Folder of the bundles, for --page.")] = Path("bundles"),
) -> None:
    """Compare our results with the papers'."""
    from ..crossval.comparison import format_results
    from ..crossval.results_page import write_results_page

    if page is not None:
        write_results_page(results, page, bundles)
    else:
        typer.echo(format_results(results, form), nl=False)


def analyse_runs(
    analysis: Annotated[str, typer.Argument(help="That a bundle offers: thresholds or misalignment.")],
    results: Annotated[Path, typer.Argument(help="Folder that crossval wrote to.")],
    data: Annotated[str, typer.Option(help="Folder of the scans; phantom is built in.")] = "phantom",
    output: Annotated[Path | None, typer.Option(help="PNG; default: ANALYSIS.png in that folder.")] = None,
    bundles: Annotated[Path, typer.Option(help="Folder of the bundles.")] = Path("bundles"),
    dataset: Annotated[str | None, typer.Option(help="Runs of this dataset only.")] = None,
    config: Annotated[str | None, typer.Option(help="Runs with these overlays only, as crossval got them.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Evaluate the runs of a cross-validation in another way and draw a paper's figure of it."""
    from ..crossval.analyses import analyse

    print(analyse(analysis, results, data, bundles, output, dataset, config, overwrite))


def report(
    results: Annotated[Path, typer.Argument(help="Folder that crossval wrote to.")],
    output: Annotated[Path | None, typer.Option(help="HTML file; default: report.html in that folder.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Folder of the scans, for pictures; with several datasets DATASET=FOLDER for each."),
    ] = None,
    bundles: Annotated[Path, typer.Option(help="Folder of the bundles, for pictures.")] = Path("bundles"),
    overwrite: Overwrite = False,
) -> None:
    """Write one HTML page about the results: tables, charts, pictures, manifest. It opens without network."""
    from ..crossval.report import write_report

    print(write_report(results, output, data or [], bundles, overwrite))
