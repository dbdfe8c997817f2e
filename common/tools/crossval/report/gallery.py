"""Which pictures a report shows, and how they come into the page: best, median and worst case, and supervoxels."""

from __future__ import annotations

import base64
import io
import logging
import multiprocessing
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from ....data.literals import literal
from ....errors import one_line, user_mistake
from ..results import Result
from ..runs import Study, run_settings
from .run_pictures import Picture, draw_run

logger = logging.getLogger(__name__)

BUDGET = 3_000_000  # bytes of all pictures together: the page stays below 5 MB
_WIDTH, _QUALITY = 720, 72
_RANKS = {1: {0: "only"}, 2: {1: "best", 0: "worst"}}


def choose_pictures(entry: Sequence[Result], results_dir: Path) -> list[Picture]:
    """Pick the first run's supervoxels, and the best, median and worst case of each protocol and organ over all runs.

    Args:
        entry: runs of one bundle, variant, dataset and setting.
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
    study = Study((bundles / run.bundle).absolute(), data, results_dir.absolute(), [])
    settings = run_settings(study, run, folder.parent) | {"output_dir": literal(folder)}
    for name in ("distances", "init"):  # the configuration for evaluation has its own
        settings.pop(name, None)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        job = executor.submit(draw_run, study.bundle, run.configs, settings, pictures, folder / "draw.log")
        error = job.exception()
    if error is None:
        return job.result()
    logger.debug("traceback of a run that could not be drawn", exc_info=error)
    reason = f"drawing failed ({one_line(user_mistake(error) or error)[:300]}); see {folder / 'draw.log'}"
    return {picture.path: reason for picture in pictures}


def _data_uri(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as source:
        picture = source.convert("RGB")
    picture.thumbnail((_WIDTH, 10 * _WIDTH))
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
