"""Threshold line search and misalignment: what is measured, and the figures of real runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor

from common.configuration.workflow import bundle_workflow
from common.errors import InputError
from common.inferers import FewShotInferer
from common.tools.crossval.analyses import analyse
from common.tools.crossval.execution import execute
from common.tools.crossval.runs import Experiment, list_runs
from tests.bundles.networks import network_module
from tests.e2e.tiny import SMALL_TRAINING

ROOT = Path(__file__).parents[2]
SHORT = {"episodes_per_epoch": 10, "max_epochs": 1, "distances": False}


def test_the_search_replaces_the_threshold_and_nothing_else(dataset, tmp_path, own_scripts):
    bundle, places = ROOT / "bundles/adnet", {"dataset_dir": str(dataset), "cache_dir": str(tmp_path / "cache")}
    settings = {**SMALL_TRAINING["adnet"], **places, "threshold": -15.0, "protocols": ["ep1"], "distances": False}
    plain = bundle_workflow(
        bundle, ["train", "evaluate"], **settings, checkpoint=None, output_dir=str(tmp_path / "plain")
    )
    plain.run()
    torch.save(plain.parser.get_parsed_content("network").state_dict(), tmp_path / "model.pt")
    settings |= {"checkpoint": str(tmp_path / "model.pt"), "output_dir": str(tmp_path / "search")}
    configs = ["train", "evaluate", "evaluate_thresholds"]
    bundle_workflow(bundle, configs, **settings, thresholds=[-20.0, -15.0, -10.0]).run()
    found = json.loads((tmp_path / "search/thresholds.json").read_text())
    assert found["learned"] == -15.0
    rows = [{key: row[key] for key in row if key != "threshold"} for row in found["rows"] if row["threshold"] == -15]
    assert rows == json.loads((tmp_path / "plain/cases.json").read_text())
    # no foreground at all below the lowest score there can be
    assert {row["dice"] for row in found["rows"] if row["threshold"] == -20} == {0.0}
    assert not (tmp_path / "search/cases.json").exists()


def test_alignment_and_segmentation_dice_of_slices():
    """The organ fills rows 0 and 1 of the support; rows 1, 2 of the query's slices 0, 2; half is found once."""
    support, label = torch.zeros(4, 4, 3), torch.zeros(1, 4, 4, 3)
    support[:2, :, 1], label[0, 1:3, :, 0], label[0, 1:3, :, 2] = 5, 1, 1
    pred = torch.zeros(1, 4, 4, 3)
    pred[0, 1, :, 0], pred[0, 1:3, :, 1] = 1, 1
    image = MetaTensor(torch.zeros(1, 4, 4, 3))
    image.meta |= {"support_image": [support], "support_label": [support], "support_organs": torch.tensor([5])}
    item = {"image": image, "label": MetaTensor(label), "pred": MetaTensor(pred)}
    scores = network_module("lsnet", "misalignment")._pair_scores(item, FewShotInferer("ep2"))
    assert scores == {
        5: [
            {"slice": 0, "alignment_dice": 0.5, "dice": pytest.approx(2 / 3, abs=1e-6)},
            {"slice": 2, "alignment_dice": 0.5, "dice": 0.0},
        ]
    }


def test_what_cannot_be_analysed_is_refused(tmp_path, write_run, same):
    write_run(same(0.5))
    with pytest.raises(InputError, match="analysis is misalignment or thresholds, got noise"):
        analyse("noise", tmp_path, "phantom", ROOT / "bundles")
    with pytest.raises(InputError, match=r"no run with weights .* of a bundle in .* that offers thresholds"):
        analyse("thresholds", tmp_path, "phantom", ROOT / "bundles")


def test_runs_of_several_kinds_are_not_drawn_as_one(tmp_path, write_run, same):
    for settings in ({}, {"variant": "kappa_0.1", "configs": ["train", "kappa_0.1"]}, {"dataset": "mscmr"}):
        path = write_run(same(0.5), folder=tmp_path, **settings)
        weights = tmp_path / "work" / path.stem / "models/model.pt"
        weights.parent.mkdir(parents=True)
        weights.touch()
    with pytest.raises(InputError, match=r"several kinds: .*'kappa_0.1'.*; mscmr .*choose with --dataset and --config"):
        analyse("thresholds", tmp_path, "phantom", ROOT / "bundles")
    with pytest.raises(InputError, match="no run with weights"):
        analyse("thresholds", tmp_path, "phantom", ROOT / "bundles", dataset="sabs")


@pytest.mark.slow
@pytest.mark.parametrize(("bundle", "analysis"), [("adnet", "thresholds"), ("lsnet", "misalignment")])
def test_the_command_draws_all_runs_and_measures_each_once(dataset, tmp_path, monkeypatch, bundle, analysis):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    experiment = Experiment(ROOT / "bundles" / bundle, str(dataset), tmp_path, ["ep2"])
    for run in list_runs(experiment.bundle, "tiny", [0, 1], overrides={**SMALL_TRAINING[bundle], **SHORT}):
        execute(experiment, run)
    command = [sys.executable, "-m", "common.tools.cli", "analyse", analysis, str(tmp_path), "--data", str(dataset)]
    subprocess.run(command, cwd=ROOT, check=True)
    written = sorted(tmp_path.glob(f"work/*/evaluate_{analysis}/{analysis}.json"))
    times = [path.stat().st_mtime_ns for path in written]
    assert len(written) == 2 and all(json.loads(path.read_text())["rows"] for path in written)
    assert (tmp_path / f"{analysis}.png").read_bytes().startswith(b"\x89PNG")
    assert analyse(analysis, tmp_path, str(dataset), ROOT / "bundles", tmp_path / "again.png").is_file()
    assert [path.stat().st_mtime_ns for path in written] == times
