"""Pictures of one run, drawn with its weights and its bundle's own evaluation: the prediction that was scored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from ....configuration.workflow import bundle_workflow
from ....data.reading import file_name
from ....evaluation import collect
from ....supervoxels.preview import preview
from ...case_picture import draw_overlay
from ..results import Result

# Another device or number of threads rounds differently; other weights or scans differ by more.
TOLERANCE = 0.01
_SLICES, _PREVIEW_SLICES = 2, 4


@dataclass
class Picture:
    """A case and organ of a run, or, without a case, the supervoxels of its first training scan.

    Attributes:
        result: of the run.
        path: PNG to write.
        rank: best, median, worst or only.
        protocol: such as ``ep1``.
        case: name of the scan.
        organ: its name.
        dice: as recorded, from 0 to 1.
        uri: of the picture that was drawn.
        reason: why there is none.
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


def draw_run(
    bundle: Path, configs: Sequence[str], settings: dict[str, Any], pictures: Sequence[Picture], log: Path
) -> dict[Path, str]:
    """Draw pictures of one run; call it in a process of its own, since bundles share the name ``scripts``.

    Args:
        bundle: folder of the bundle.
        configs: of the training, without ``evaluate``.
        settings: ids and values, as the run was evaluated with.
        pictures: what to draw.
        log: file for what the bundle prints.

    Returns:
        Why, for each picture that could not be drawn.
    """
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
    parser["validate#dataset#data"] = [item for item in queries if _case(item["image"]) in wanted]
    reasons = {picture.path: f"{picture.case} is not among the fold's scans in this data" for picture in pictures}
    if not parser["validate#dataset#data"]:
        return reasons
    cases, inferer, evaluator = (
        parser.get_parsed_content(name) for name in ("cases", "validate#inferer", "validate#evaluator")
    )

    def draw(engine: Engine) -> None:
        output: Any = engine.state.output
        for item in output:
            case = _case(file_name(item["image"]))
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
    draw_overlay(scan, prediction, picture.path, reference, {picture.organ: 1}, _SLICES)
    return ""


def _case(path: str) -> str:
    return Path(path).name.split(".nii")[0]
