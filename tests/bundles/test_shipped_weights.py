"""The weights that come with the bundles: whole, small, with their settings, and good for something."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from common.configuration.workflow import bundle_workflow
from common.files.checkpoints import SHIPPED, bundle_weights, read_weights
from common.files.record import read_record
from common.tools.weights import make_weights, store_half
from common.transforms import WarnUnlikeKnownd

ROOT = Path(__file__).parents[2]
BUNDLES = sorted(path.parents[1] for path in ROOT.glob(f"bundles/*/{SHIPPED}"))
pytestmark = pytest.mark.usefixtures("own_scripts")


def test_the_default_method_has_weights():
    assert ROOT / "bundles" / "adnet" in BUNDLES


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_file_is_the_one_that_was_made(bundle):
    path = bundle / SHIPPED
    digest, name = path.with_suffix(".sha256").read_text().split()
    assert name == path.name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    assert path.stat().st_size <= 6e6


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_weights_are_finite_halves_with_the_settings_of_their_training(bundle):
    weights = read_weights(bundle / SHIPPED)
    floats = [value for value in weights.values() if value.is_floating_point()]
    assert {value.dtype for value in floats} == {torch.float16}
    assert all(bool(value.isfinite().all()) for value in floats)
    settings = read_record(bundle / SHIPPED)["settings"]
    assert settings["normalisation"] == "body_median" and settings["axcodes"] == "RAS"


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_they_know_what_they_have_seen(bundle, own_scripts):
    """A scan unlike all of that is warned of: the last step of the preprocessing."""
    known = read_record(bundle / SHIPPED)["fingerprint"]
    assert len(known["looks"]) == 48 and known["far"] > 0 and known["widths"][0] < known["widths"][1]
    workflow = bundle_workflow(bundle, ["inference"], "infer", checkpoint=str(bundle / SHIPPED))
    assert isinstance(workflow.parser.get_parsed_content("prepare").steps[-1], WarnUnlikeKnownd)


def test_own_training_goes_before_what_came_with_the_bundle(tmp_path):
    (tmp_path / "models").mkdir()
    assert bundle_weights(tmp_path).endswith("model.pt")
    (tmp_path / SHIPPED).touch()
    assert bundle_weights(tmp_path).endswith("synthetic.pt")
    (tmp_path / "models" / "model.pt").touch()
    assert bundle_weights(tmp_path).endswith("model.pt")


def test_half_precision_keeps_names_and_settings(tmp_path):
    network = torch.nn.BatchNorm1d(3)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    store_half(tmp_path / "model.pt", tmp_path / "out" / "synthetic.pt")
    state = read_weights(tmp_path / "out" / "synthetic.pt")
    assert state["weight"].dtype == torch.float16
    assert state["num_batches_tracked"].dtype == torch.int64
    network.load_state_dict(state)
    assert network.weight.dtype == torch.float32


@pytest.mark.slow
def test_the_same_training_gives_the_same_file(tmp_path):
    """Fifty episodes on small synthetic scans, twice."""
    settings = {
        "encoder_stages": 2, "image_size": 64, "spacing": [5.0, 5.0, 10.0], "supervoxel_min_size": 200, "min_area": 20,
        "batch_size": 2, "episodes_per_epoch": 50, "max_epochs": 1, "train#dataset#volumes": 2,
        "train#dataset#episodes": 26, "train#dataset#looks": 0,
    }  # fmt: skip
    files = [
        make_weights(ROOT / "bundles" / "adnet", tmp_path / name, tmp_path / name / "synthetic.pt", **settings)
        for name in ("first", "second")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert json.dumps(read_record(files[0])["settings"]["image_size"]) == "64"
