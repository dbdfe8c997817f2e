"""The benchmarks measure what they say: the naive flow gives the same masks, and the page is made from the numbers."""

import json

import pytest
import torch

from tests.benchmarks import inference, measure, page, training
from tests.benchmarks.__main__ import DOCS
from tests.e2e.tiny import SMALL, SMALL_TRAINING


@pytest.mark.parametrize("bundle", SMALL)
def test_naive_flow_gives_the_same_masks(bundle, own_scripts):
    found = inference.measure(bundle, depth=4, rounds=1, **SMALL[bundle])
    assert found["naive_pixels_that_differ"] <= 4  # on the threshold, where the order of a sum decides
    assert bundle != "adnet" or 0.2 < found["foreground"] < 0.8
    assert found["dice_of_precisions"] > 0.9
    assert found["operations"] > 0
    assert set(found["seconds"]) == {"naive", "float32, 1", "float32, 4", "auto, 1", "auto, 4"}


@pytest.mark.slow
def test_all_flows_train(own_scripts, dataset):
    found = training.measure("adnet", steps=1, rounds=1, dataset_dir=str(dataset), **SMALL_TRAINING["adnet"])
    assert set(found["episodes_per_second"]) == set(training.FLOWS)
    assert found["episodes_per_step"] == {"naive": 1, "plain": 1, "fast, one episode": 1, "fast": 4}


def test_turns_and_memory():
    calls = []
    found = measure.take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert all(0 <= times["min"] <= times["median"] <= times["max"] for times in found.values())
    assert measure.peak_bytes(lambda: torch.ones(2**24)) > 2**25


def test_page_is_made_from_the_figures(tmp_path):
    assert (DOCS / "benchmarks.md").read_text() == page.page(DOCS / "benchmarks")
    (tmp_path / "gpu.json").write_text(json.dumps(json.loads((DOCS / "benchmarks" / "cpu.json").read_text())))
    text = page.page(tmp_path)
    assert text.index("## Without a GPU\n\nNot measured") < text.index("## With a GPU\n\n") < text.index("### Training")
