"""Further looks at trained runs of a cross-validation: an overlay on evaluate.yaml for each run, a figure for all."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path

from tqdm import tqdm

from ...errors import InputError
from ...handlers.resuming import FINAL
from ...results.marks import check_output, mark_of, relative
from .execution import evaluate_run
from .published import all_abouts
from .results import read_results
from .runs import Experiment


def analyse(
    name: str,
    results_dir: Path,
    data: str,
    bundles: Path,
    output: Path | None = None,
    dataset: str | None = None,
    config: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Evaluate every trained run of one kind again, once, and draw them together.

    Args:
        name: of an analysis that a bundle offers: its ``about.yaml`` names the overlay, ``scripts/<name>.py`` draws.
        results_dir: folder that ``fewshot crossval`` wrote to.
        data: dataset folder of the runs.
        bundles: folder of the bundles.
        output: PNG; None for ``<name>.png`` among the results.
        dataset: name of the dataset, where the results are of several.
        config: overlays of the runs, joined by commas, where the results are of several kinds.
        overwrite: replace a picture that another command or a person made.

    Returns:
        Path of the PNG.

    Raises:
        InputError: unknown analysis, no run that has it and its weights, or runs of several kinds; an evaluation
            failed.
    """
    offered = {about["bundle"]: about.get("analyses", {}) for about in all_abouts(bundles)}
    known = sorted({analysis for analyses in offered.values() for analysis in analyses})
    if name not in known:
        raise InputError(f"analysis is {' or '.join(known)}, got {name}")
    output = output or results_dir / f"{name}.png"
    mark = mark_of("analyse", name, relative(results_dir, output), dataset, config)
    check_output(output, mark, overwrite=overwrite)
    runs = [
        run
        for run in (result.run for result in read_results(results_dir))
        if name in offered.get(run.bundle, {})
        and not run.untrained
        and dataset in (None, run.dataset)
        and config in (None, ",".join(run.configs[1:]))
        and (results_dir / "work" / run.name / "models" / FINAL).is_file()
    ]
    if not runs:
        raise InputError(
            f"{results_dir} holds no run with weights (work/RUN/models/model.pt) "
            f"of a bundle in {bundles} that offers {name}"
        )
    kinds = {f"{run.dataset} with {','.join(run.configs[1:])!r}, setting {run.setting}" for run in runs}
    if len(kinds) > 1:
        listed = "; ".join(sorted(kinds))
        raise InputError(f"{results_dir} holds runs of several kinds: {listed}; choose with --dataset and --config")
    files = []
    for run in tqdm(runs, desc=name, disable=None):
        experiment = Experiment((bundles / run.bundle).absolute(), data, results_dir.absolute(), [])
        files.append(evaluate_run(experiment, run, offered[run.bundle][name], f"{name}.json"))
    draw = run_path(str(bundles / runs[0].bundle / "scripts" / f"{name}.py"))["draw"]
    return Path(draw(files, output, mark))
