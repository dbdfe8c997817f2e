"""Pictures of the report: which cases, and that they show what was scored."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

from common.tools.crossval.execution import execute
from common.tools.crossval.report import write_report
from common.tools.crossval.report.gallery import choose_pictures
from common.tools.crossval.results import read_results
from common.tools.crossval.runs import Experiment, list_runs
from tests.e2e.tiny import SMALL_TRAINING

ROOT = Path(__file__).parents[2]
SHORT = {"episodes_per_epoch": 20, "max_epochs": 3, "distances": False}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.5], {"only": 0.5}),
        ([0.5, 0.2], {"best": 0.5, "worst": 0.2}),
        ([0.5, 0.2, 0.9], {"best": 0.9, "median": 0.5, "worst": 0.2}),
        ([0.5, 0.2, 0.9, 0.4], {"best": 0.9, "median": 0.4, "worst": 0.2}),
        ([0.5, None, 0.9], {"best": 0.9, "worst": 0.5}),
        ([None], {}),
        ([0.0, 0.0, 0.0], {"best": 0.0, "median": 0.0, "worst": 0.0}),
    ],
)
def test_best_median_and_worst(tmp_path, write_run, values, expected):
    write_run({"liver": values}, folder=tmp_path)
    supervoxels, *cases = choose_pictures(read_results(tmp_path), tmp_path)
    assert {picture.rank: picture.dice for picture in cases} == expected and not supervoxels.case
    assert len({picture.path for picture in cases}) == len(cases)


def test_cases_are_chosen_over_all_runs_per_protocol_and_organ(tmp_path, write_run):
    write_run({"liver": [0.5, 0.6], "left kidney": [0.1]}, 0, protocols=("ep1", "ep2"), folder=tmp_path)
    write_run({"liver": [0.7], "left kidney": [0.2]}, 1, protocols=("ep1", "ep2"), folder=tmp_path)
    _, *cases = choose_pictures(read_results(tmp_path), tmp_path)
    assert len(cases) == 2 * (3 + 2)
    best = next(picture for picture in cases if picture.rank == "best" and picture.organ == "liver")
    assert (best.protocol, best.case, best.result.run.fold) == ("ep1", "f1_0", 1)
    assert best.path == tmp_path / "work/adnet-chaos_t2-s1-f1-r0/report/ep1-f1_0-liver.png"


@pytest.fixture(scope="module")
def results(tmp_path_factory, dataset):
    """One real run each of two bundles, whose scripts have the same name."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        for bundle in ("adnet", "ssl_alpnet"):
            experiment = Experiment(ROOT / "bundles" / bundle, str(dataset), folder, ["ep1", "ep2"])
            (run,) = list_runs(experiment.bundle, "tiny", [0], overrides={**SMALL_TRAINING[bundle], **SHORT})
            execute(experiment, run)
    return folder


def images(path):
    """Pictures of a page by caption."""
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"[^>]*>\s*<figcaption>([^<]+)', path.read_text())
    return {caption: base64.b64decode(data) for data, caption in found}


@pytest.mark.slow
def test_real_runs_are_drawn_as_they_were_scored(results, dataset):
    shown = images(write_report(results, data=[str(dataset)], bundles=ROOT / "bundles"))
    rows = [row for path in results.glob("*.json") for row in json.loads(path.read_text())["cases"]]
    assert len(shown) == len(rows) + 2  # two cases: best and worst; and both runs' supervoxels
    for row in rows:
        captions = [caption for caption in shown if f"Dice {100 * row['dice']:.1f}. {row['case']}, f0-r0" in caption]
        assert any(f"{row['protocol'].upper()}, {row['organ']}, " in caption for caption in captions)
    assert all(data[:4] == b"RIFF" for data in shown.values())
    assert "Not drawn" not in (results / "report.html").read_text()
    # Nothing that belongs to the runs was touched.
    for path in results.glob("*.json"):
        assert json.loads((results / "work" / path.stem / "eval/cases.json").read_text())


@pytest.mark.slow
def test_other_weights_or_scans_are_not_drawn_as_if_they_had_been_scored(results, dataset, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(results, folder)
    places = {"data": [str(dataset)], "bundles": ROOT / "bundles"}
    before = images(write_report(folder, **places))
    (path,) = folder.glob("adnet*.json")
    content = json.loads(path.read_text())
    row = content["cases"][0]
    row["dice"] = round(row["dice"] + 0.02, 6)
    path.write_text(json.dumps(content))
    page = write_report(folder, **places)
    assert f"and {row['dice']} in the results: these are other weights, scans or configurations" in page.read_text()
    assert len(images(page)) == len(before) - 1
    (folder / "work" / path.stem / "models/model.pt").write_bytes(b"no weights")
    page = write_report(folder, **places)
    assert "drawing failed (" in page.read_text() and "draw.log" in page.read_text()
    assert len([caption for caption in images(page) if caption.startswith("EP")]) == 8  # those of ssl_alpnet
