"""Verbs about cross-validations: crossval, table, analyse, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...errors import InputError
from .options import DEFAULT_BUNDLE, Bundle, Overlays, Overrides, Overwrite, read_folds, read_overrides, split_names


def crossval(
    context: typer.Context,
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
    queue: Annotated[
        Path | None, typer.Option(help="YAML file of several cross-validations; --config replaces its starts.")
    ] = None,
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
    from ...configuration.workflow import bundle_folder
    from ...handlers.resuming import make_folder
    from ..crossval.engines import run_locally, run_on_ray, write_slurm
    from ..crossval.provenance import scans
    from ..crossval.queue import Entry, list_tasks, read_queue
    from ..crossval.runs import Experiment

    if engine not in ("local", "ray", "slurm"):
        raise InputError(f"--engine is {engine!r}; it takes local, ray or slurm")
    overrides = read_overrides(override or [])
    if queue is None:
        entries = [Entry(bundle_folder(bundle), split_names(config), setting, repeats, untrained, overrides)]
    else:
        for name in ("bundle", "setting", "repeats", "untrained", "ablation"):
            if context.get_parameter_source(name).name != "DEFAULT":  # type: ignore[union-attr]
                raise InputError(f"--{name} and --queue: {queue} says that of each line; leave one out")
        entries = [entry.with_overrides(overrides) for entry in read_queue(queue, split_names(config))]
    shared = Experiment(entries[0].bundle, data or dataset, output, split_names(protocols), processes)
    check_value("protocols", shared.protocols)
    tasks = list_tasks(entries, shared, dataset, None if folds is None else read_folds(folds), seed, ablation)
    if task is not None:
        if task >= len(tasks):
            raise InputError(f"--task is {task}; it takes a run of the list, from 0 to {len(tasks) - 1}")
        tasks = [tasks[task]]
    if engine != "slurm":  # a SLURM script may be written elsewhere
        scans(*tasks[0])
        make_folder(output, "--output")
    if engine == "slurm":
        arguments = sys.argv[sys.argv.index("crossval") + 1 :]
        kept = [part for part in arguments if part not in ("--engine", "slurm", "--engine=slurm")]
        print(write_slurm(output, kept, len(tasks), processes))
    elif engine == "ray":
        run_on_ray(tasks, cpus=jobs)
    else:
        run_locally(tasks, jobs)


def table(
    results: Annotated[Path, typer.Argument(help="Folder of result files.")],
    form: Annotated[str, typer.Option("--format", help="text, markdown, latex, or csv: every case.")] = "text",
    page: Annotated[Path | None, typer.Option(help="Rewrite this Markdown page between its markers instead.")] = None,
    queue: Annotated[
        Path | None, typer.Option(help="Queue of the runs, for the page's overview: every method, every start.")
    ] = None,
    bundles: Annotated[Path, typer.Option(help="Folder of the bundles, for --page.")] = Path("bundles"),
) -> None:
    """Compare our results with the papers'."""
    from ..crossval.comparison import format_results
    from ..crossval.results_page import write_results_page

    if page is not None:
        write_results_page(results, page, bundles, queue)
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
