"""Which pictures a report shows, and how they come into the page: best, median and worst case, and supervoxels."""

from __future__ import annotations

import base64
import io
import logging
import multiprocessing
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from ....errors import one_line, user_mistake
from ....literals import literal
from ..results import Result, by_entry
from ..runs import Study, run_settings
from .run_pictures import Picture, draw_run

logger = logging.getLogger(__name__)

BUDGET = 3_000_000  # bytes of all pictures together: the page stays below 5 MB
_WIDTH, _QUALITY = 720, 72
_FULL = f"left out: the page holds {BUDGET / 1e6:.0f} MB of pictures"


class Choice(NamedTuple):
    """A case of an entry: ``rank`` is best, median, worst, or only."""

    rank: str
    picture: Picture
    result: Result


@dataclass
class Gallery:
    """What could be drawn: data URIs by file, and why for those that could not."""

    images: dict[Path, str] = field(default_factory=dict)
    reasons: dict[Path, str] = field(default_factory=dict)


def choose_cases(entry: Sequence[Result], results_dir: Path) -> list[Choice]:
    """Pick the best, median and worst case of each protocol and organ over the runs of an entry.

    Args:
        entry: runs of one bundle, variant, dataset and setting.
        results_dir: their folder; pictures go below its ``work``.
    """
    scored = [(row, result) for result in entry for row in result.cases if row["dice"] is not None]
    scored.sort(key=lambda item: item[0]["dice"])
    kinds = dict.fromkeys((row["protocol"], row["organ"]) for result in entry for row in result.cases)
    choices = []
    for protocol, organ in sorted(kinds, key=lambda kind: kind[0]):
        here = [(row, result) for row, result in scored if (row["protocol"], row["organ"]) == (protocol, organ)]
        places = {len(here) - 1: "best", (len(here) - 1) // 2: "median", 0: "worst"}
        if len(here) < 3:
            places = [{}, {0: "only"}, {1: "best", 0: "worst"}][len(here)]
        for place, rank in places.items():
            row, result = here[place]
            name = re.sub(r"[^\w.-]+", "_", f"{protocol}-{row['case']}-{organ}.png")
            picture = Picture(protocol, row["case"], organ, row["dice"], _folder(results_dir, result) / name)
            choices.append(Choice(rank, picture, result))
    return choices


def supervoxel_picture(entry: Sequence[Result], results_dir: Path) -> Path:
    """Return the file for the supervoxels of an entry's first run."""
    return _folder(results_dir, entry[0]) / "supervoxels.png"


def draw_gallery(
    results: Sequence[Result], results_dir: Path, data: Mapping[str, str | None], bundles: Path
) -> Gallery:
    """Draw what trained runs, their weights and their data allow; pictures of an earlier call are used again.

    Args:
        results: all runs.
        results_dir: their folder, with ``work`` where the weights are.
        data: dataset folder by dataset; None where it is not known.
        bundles: folder of the bundles.
    """
    results = [result for result in results if not result.run.untrained]
    entries = list(by_entry(results).values())
    choices = [choice for entry in entries for choice in choose_cases(entry, results_dir)]
    previews = {entry[0].run.name: supervoxel_picture(entry, results_dir) for entry in entries}
    gallery = Gallery()
    for result in tqdm(results, desc="drawing", disable=None):
        work = results_dir / "work" / result.run.name
        weights, preview = work / "models" / "model.pt", previews.get(result.run.name)
        pictures = [choice.picture for choice in choices if choice.result is result]
        needed = {picture.path: weights for picture in pictures} | ({preview: work} if preview else {})
        obstacles = {path: _obstacle(result, data, bundles, file) for path, file in needed.items()}
        gallery.reasons |= {path: reason for path, reason in obstacles.items() if reason}
        sources = [path for path in (result.path, weights) if path.is_file()]
        todo = {path for path, reason in obstacles.items() if not reason and not _is_fresh(path, sources)}
        if todo:
            folder, wanted = str(data[result.run.dataset]), [picture for picture in pictures if picture.path in todo]
            shown = preview if preview in todo else None
            gallery.reasons |= _draw_apart(result, results_dir, folder, bundles, wanted, shown)
    in_order = sorted((choice.picture for choice in choices), key=lambda picture: picture.protocol)
    _load(gallery, [*previews.values(), *(picture.path for picture in in_order)])
    return gallery


def _folder(results_dir: Path, result: Result) -> Path:
    return results_dir / "work" / result.run.name / "report"


def _obstacle(result: Result, data: Mapping[str, str | None], bundles: Path, needed: Path) -> str:
    """Say what is missing for drawing a run; empty where nothing is."""
    run = result.run
    if not needed.exists():
        return f"there is no {str(needed).replace(run.name, 'RUN')}, which fewshot crossval makes"
    if not (bundles / run.bundle / "configs").is_dir():
        return f"there is no bundle {bundles / run.bundle}: give the folder of the bundles with --bundles"
    if data.get(run.dataset) is None:
        return f"the scans are not known: give their folder with --data {run.dataset}=FOLDER"
    return ""


def _is_fresh(picture: Path, sources: Sequence[Path]) -> bool:
    return picture.is_file() and all(picture.stat().st_mtime >= source.stat().st_mtime for source in sources)


def _draw_apart(
    result: Result, results_dir: Path, data: str, bundles: Path, pictures: list[Picture], shown: Path | None
) -> dict[Path, str]:
    """Draw a run's pictures in a new process, since each bundle has scripts of the same name."""
    run, folder = result.run, _folder(results_dir, result).absolute()
    study = Study((bundles / run.bundle).absolute(), data, results_dir.absolute(), [])
    settings = run_settings(study, run, folder.parent) | {"output_dir": literal(folder)}
    for name in ("distances", "init"):  # the configuration for evaluation has its own
        settings.pop(name, None)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        job = executor.submit(draw_run, study.bundle, run.configs, settings, pictures, shown, folder / "draw.log")
        error = job.exception()
    if error is None:
        return job.result()
    logger.debug("traceback of a run that could not be drawn", exc_info=error)
    reason = f"drawing failed ({one_line(user_mistake(error) or error)[:300]}); see {folder / 'draw.log'}"
    return {path: reason for path in (*(picture.path for picture in pictures), shown) if path is not None}


def _load(gallery: Gallery, paths: Sequence[Path]) -> None:
    """Read pictures until the budget is spent."""
    free = BUDGET
    for path in dict.fromkeys(path for path in paths if path not in gallery.reasons):
        uri = _data_uri(path) if free > 0 else ""
        free -= len(uri)
        if free > 0:
            gallery.images[path] = uri
        else:
            gallery.reasons[path] = _FULL


def _data_uri(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as source:
        picture = source.convert("RGB")
    picture.thumbnail((_WIDTH, 10 * _WIDTH))
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"
