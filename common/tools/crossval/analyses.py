"""Further looks at trained runs of a cross-validation: an overlay on evaluate.yaml for each run, a figure for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ...errors import InputError
from ...evaluation.misalignment import MISALIGNMENT_FILE
from ...evaluation.thresholds import THRESHOLDS_FILE
from ...records import check_output, mark_of, relative
from ...workflow import has_config
from .analysis_charts import draw_misalignment, draw_thresholds
from .execution import evaluate_run
from .results import read_results
from .runs import Study


@dataclass(frozen=True)
class _Analysis:
    overlay: str
    file: str
    draw: Callable[[Sequence[Path], Path, str], Path]


_ANALYSES = {
    "thresholds": _Analysis("evaluate_thresholds", THRESHOLDS_FILE, draw_thresholds),
    "misalignment": _Analysis("evaluate_misalignment", MISALIGNMENT_FILE, draw_misalignment),
}


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
        name: ``thresholds`` (ADNet) or ``misalignment`` (LSNet).
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
    if name not in _ANALYSES:
        raise InputError(f"analysis is {' or '.join(_ANALYSES)}, got {name}")
    analysis = _ANALYSES[name]
    output = output or results_dir / f"{name}.png"
    mark = mark_of("analyse", name, relative(results_dir, output), dataset, config)
    check_output(output, mark, overwrite=overwrite)
    work = results_dir / "work"
    runs = [
        result.run
        for result in read_results(results_dir)
        if has_config(bundles / result.run.bundle, analysis.overlay)
        and not result.run.untrained
        and dataset in (None, result.run.dataset)
        and config in (None, ",".join(result.run.configs[1:]))
        and (work / result.run.name / "models" / "model.pt").is_file()
    ]
    if not runs:
        raise InputError(
            f"{results_dir} holds no run with weights (work/RUN/models/model.pt) "
            f"of a bundle with configs/{analysis.overlay}.yaml in {bundles}"
        )
    kinds = {(run.dataset, ",".join(run.configs[1:]), run.setting) for run in runs}
    if len(kinds) > 1:
        listed = "; ".join(
            f"{run_dataset} with {configs!r}, setting {number}" for run_dataset, configs, number in sorted(kinds)
        )
        raise InputError(f"{results_dir} holds runs of several kinds: {listed}; choose with --dataset and --config")
    files = []
    for run in tqdm(runs, desc=name, disable=None):
        study = Study((bundles / run.bundle).absolute(), data, results_dir.absolute(), [])
        files.append(evaluate_run(study, run, analysis.overlay, analysis.file))
    return analysis.draw(files, output, mark)
