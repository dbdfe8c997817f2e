"""The pictures of a report: best, median and worst case, and supervoxels; chosen, drawn as scored, and packed."""

from __future__ import annotations

import base64
import io
import logging
import multiprocessing
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from PIL import Image
from tqdm import tqdm

from ....configuration.workflow import bundle_workflow
from ....data.reading import file_name, stem
from ....errors import one_line, user_mistake
from ....evaluation import collect
from ....files.literals import literal
from ....supervoxels.preview import preview
from ...case_picture import draw_case
from ..results import Result
from ..runs import Experiment, run_settings

logger = logging.getLogger(__name__)

BUDGET = 3_000_000  # bytes of all pictures together: the page stays below 5 MB
_WIDTH, _QUALITY = 720, 72
# Another device or number of threads rounds differently; other weights or scans differ by more.
TOLERANCE = 0.01
_SLICES, _PREVIEW_SLICES = 2, 4
_RANKS = {1: {0: "only"}, 2: {1: "best", 0: "worst"}}


@dataclass
class Picture:
    """A case and organ of a run, or, without a case, the supervoxels of its first training scan.

    Dice is as recorded, from 0 to 1; ``rank`` is best, median, worst or only. Once drawn it has its ``uri``, or the
    ``reason`` why there is none.
    """

    result: Result
    path: Path
    rank: str = ""
    protocol: str = ""
    case: str = ""
    organ: str = ""
    dice: float = 0.0
    uri: str = ""
    reason: str = ""


def choose_pictures(entry: Sequence[Result], results_dir: Path) -> list[Picture]:
    """Pick the first run's supervoxels, and the best, median and worst case of each protocol and organ over all runs.

    Args:
        entry: runs that are averaged together.
        results_dir: their folder; pictures go below its ``work``.
    """
    pictures = [Picture(entry[0], _folder(results_dir, entry[0]) / "supervoxels.png")]
    scored: dict[tuple[str, str], list[tuple[float, str, Result]]] = {}
    for result in entry:
        for row in (row for row in result.cases if row["dice"] is not None):
            scored.setdefault((row["protocol"], row["organ"]), []).append((row["dice"], row["case"], result))
    for (protocol, organ), here in sorted(scored.items(), key=lambda kind: kind[0][0]):
        here.sort(key=lambda found: found[0])
        ranks = _RANKS.get(len(here), {len(here) - 1: "best", (len(here) - 1) // 2: "median", 0: "worst"})
        for place, rank in ranks.items():
            dice, case, result = here[place]
            name = re.sub(r"[^\w.-]+", "_", f"{protocol}-{case}-{organ}.png")
            pictures.append(Picture(result, _folder(results_dir, result) / name, rank, protocol, case, organ, dice))
    return pictures


def draw_pictures(
    pictures: Sequence[Picture], results_dir: Path, data: Mapping[str, str | None], bundles: Path
) -> None:
    """Draw what the runs, their weights and their data allow; pictures of an earlier call are used again.

    Args:
        pictures: of trained runs; each gets its ``uri``, or the ``reason`` why there is none.
        results_dir: folder of the results, with ``work`` where the weights are.
        data: dataset folder by dataset; None where it is not known.
        bundles: folder of the bundles.
    """
    runs = {picture.result.run.name: picture.result for picture in pictures}
    for result in tqdm(runs.values(), desc="drawing", disable=None):
        own = [picture for picture in pictures if picture.result is result]
        folder = data.get(result.run.dataset)
        weights = _folder(results_dir, result).parent / "models" / "model.pt"
        for picture in own:
            picture.reason = _obstacle(result, folder, bundles, weights if picture.case else weights.parents[1])
        sources = [path.stat().st_mtime for path in (result.path, weights) if path.is_file()]
        todo = [one for one in own if not one.reason and not _is_fresh(one.path, sources)]
        if todo:
            reasons = _draw_apart(result, results_dir, str(folder), bundles, todo)
            for picture in todo:
                picture.reason = reasons.get(picture.path, "")
    free = BUDGET
    for picture in sorted((one for one in pictures if not one.reason), key=lambda one: one.protocol):
        uri = _data_uri(picture.path) if free > 0 else ""
        free -= len(uri)
        if free > 0:
            picture.uri = uri
        else:
            picture.reason = f"left out: the page holds {BUDGET / 1e6:.0f} MB of pictures"


def _folder(results_dir: Path, result: Result) -> Path:
    return results_dir / "work" / result.run.name / "report"


def _obstacle(result: Result, data: str | None, bundles: Path, needed: Path) -> str:
    """Say what is missing for drawing a run; empty where nothing is."""
    run = result.run
    if not needed.exists():
        return f"there is no {str(needed).replace(run.name, 'RUN')}, which fewshot crossval makes"
    if not (bundles / run.bundle / "configs").is_dir():
        return f"there is no bundle {bundles / run.bundle}: give the folder of the bundles with --bundles"
    if data is None:
        return f"the scans are not known: give their folder with --data {run.dataset}=FOLDER"
    return ""


def _is_fresh(picture: Path, times: Sequence[float]) -> bool:
    return picture.is_file() and picture.stat().st_mtime >= max(times)


def _draw_apart(
    result: Result, results_dir: Path, data: str, bundles: Path, pictures: Sequence[Picture]
) -> dict[Path, str]:
    """Draw a run's pictures in a new process, since each bundle has scripts of the same name."""
    run, folder = result.run, _folder(results_dir, result).absolute()
    experiment = Experiment((bundles / run.bundle).absolute(), data, results_dir.absolute(), [])
    settings = run_settings(experiment, run, folder.parent) | {"output_dir": literal(folder)}
    for name in ("distances", "init"):  # the configuration for evaluation has its own
        settings.pop(name, None)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        job = executor.submit(_draw_run, experiment.bundle, run.configs, settings, pictures, folder / "draw.log")
        error = job.exception()
    if error is None:
        return job.result()
    logger.debug("traceback of a run that could not be drawn", exc_info=error)
    reason = f"drawing failed ({one_line(user_mistake(error) or error)[:300]}); see {folder / 'draw.log'}"
    return {picture.path: reason for picture in pictures}


def _draw_run(
    bundle: Path, configs: Sequence[str], settings: dict[str, Any], pictures: Sequence[Picture], log: Path
) -> dict[Path, str]:
    """Draw pictures of one run in a process of its own; return why, for each that could not be drawn."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        for output in (1, 2):  # for good: the process ends with this call
            os.dup2(stream.fileno(), output)
    parser = bundle_workflow(bundle, [*configs, "evaluate"], **settings, distances=False).parser
    reasons = {one.path: _draw_supervoxels(parser, one.path) for one in pictures if not one.case}
    cases = [picture for picture in pictures if picture.case]
    return {path: why for path, why in (reasons | (_draw_cases(parser, cases) if cases else {})).items() if why}


def _draw_supervoxels(parser: ConfigParser, path: Path) -> str:
    """Draw the supervoxels of the first training scan, or say why there are none."""
    if parser.get_parsed_content("train#dataset#labelled"):
        return "it is trained on annotated organs, not on supervoxels"
    dataset = parser.get_parsed_content("train#dataset")
    if not len(dataset):
        return "no scan is left for training"
    item = dataset[0]
    image, labels = (MetaTensor(item[key], affine=item["affine"]) for key in ("image", "supervoxels"))
    preview(image, labels, path, parser.get("supervoxel_min_size", 0), _PREVIEW_SLICES)
    return ""


def _draw_cases(parser: ConfigParser, pictures: Sequence[Picture]) -> dict[Path, str]:
    wanted = {picture.case for picture in pictures}
    queries = parser.get_parsed_content("split")["query"]
    parser["validate#dataset#data"] = [item for item in queries if stem(item["image"]) in wanted]
    reasons = {picture.path: f"{picture.case} is not among the fold's scans in this data" for picture in pictures}
    if not parser["validate#dataset#data"]:
        return reasons
    cases, inferer, evaluator = (
        parser.get_parsed_content(name) for name in ("cases", "validate#inferer", "validate#evaluator")
    )

    def draw(engine: Engine) -> None:
        output: Any = engine.state.output
        for item in output:
            case = stem(file_name(item["image"]))
            rows = [row for row in cases.rows if (row["protocol"], row["case"]) == (cases.protocol, case)]
            for index, row in enumerate(rows):
                for picture in pictures:
                    if (picture.protocol, picture.case, picture.organ) == (row["protocol"], case, row["organ"]):
                        reasons[picture.path] = _draw(item, index, picture, row["dice"])

    evaluator.add_event_handler(Events.ITERATION_COMPLETED, draw)  # behind that of the cases
    collect(evaluator, inferer, cases, list(dict.fromkeys(picture.protocol for picture in pictures)))
    return reasons


def _draw(item: dict[str, MetaTensor], index: int, picture: Picture, dice: float) -> str:
    """Draw the organ ``index`` of one evaluated item, or say why that would be wrong."""
    if dice is None or abs(dice - picture.dice) > TOLERANCE:
        return f"Dice is {dice} now and {picture.dice} in the results: these are other weights, scans or configurations"
    image, label = item["image"], item["label"]
    same_grid = image.shape[1:] == label.shape[1:] and torch.allclose(image.affine, label.affine, atol=1e-3)
    scan = image if same_grid else file_name(image)  # scored on the stored grid
    prediction, reference = (
        MetaTensor(torch.as_tensor(mask)[None], affine=label.affine) for mask in (item["pred"][index], label[index])
    )
    draw_case(scan, prediction, picture.path, reference, {picture.organ: 1}, _SLICES)
    return ""


def _data_uri(path: Path) -> str:
    with Image.open(path) as source:
        picture = source.convert("RGB")
    picture.thumbnail((_WIDTH, 10 * _WIDTH))
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
