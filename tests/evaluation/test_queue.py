"""A queue names several cross-validations; what it says is used or refused in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from common.errors import InputError
from common.tools.challenges import CHALLENGES
from common.tools.crossval.queue import list_tasks, read_queue
from common.tools.crossval.runs import Experiment
from tests.e2e.tiny import SMALL_TRAINING

ROOT = Path(__file__).parents[2]
QUEUE = {
    "starts": [{"config": ["fast", "cpu", "from_synthetic"], "untrained": True}, {"config": ["fast", "cpu", "short"]}],
    "methods": [{"bundle": "adnet", "repeats": 2}, {"bundle": "ssl_alpnet", "config": ["panet"], "setting": 2}],
}


@pytest.fixture
def queue(tmp_path):
    path = tmp_path / "queue.yaml"
    path.write_text(yaml.safe_dump(QUEUE))
    return path


@pytest.fixture
def names(tmp_path):
    """Lists bundle and name of each run, of data that name the organs of CHAOS."""
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": dict(CHALLENGES["chaos"].labels)}))
    shared = Experiment(ROOT / "bundles/adnet", str(tmp_path), Path("out"), ["ep1"])
    return lambda entries: [(task.bundle.name, run.name) for task, run in list_tasks(entries, shared, "chaos_t2", [0])]


def test_every_method_from_every_start(queue, names):
    weights, random = "chaos_t2+fast+cpu+from_synthetic+untrained", "chaos_t2+fast+cpu+short"
    assert names(read_queue(queue)) == [
        ("adnet", f"adnet-{weights}-chaos_t2-s1-f0-r0"),
        ("adnet", f"adnet-{weights}-chaos_t2-s1-f0-r1"),
        ("ssl_alpnet", "ssl_alpnet-chaos_t2+panet+fast+cpu+from_synthetic+untrained-chaos_t2-s2-kidneys-f0-r0"),
        ("ssl_alpnet", "ssl_alpnet-chaos_t2+panet+fast+cpu+from_synthetic+untrained-chaos_t2-s2-liver_spleen-f0-r0"),
        ("adnet", f"adnet-{random}-chaos_t2-s1-f0-r0"),
        ("adnet", f"adnet-{random}-chaos_t2-s1-f0-r1"),
        ("ssl_alpnet", "ssl_alpnet-chaos_t2+panet+fast+cpu+short-chaos_t2-s2-kidneys-f0-r0"),
        ("ssl_alpnet", "ssl_alpnet-chaos_t2+panet+fast+cpu+short-chaos_t2-s2-liver_spleen-f0-r0"),
    ]


def test_the_command_line_replaces_the_starts(queue):
    entries = read_queue(queue, ["paper"])
    assert [(entry.bundle.name, entry.config, entry.untrained) for entry in entries] == [
        ("adnet", ["paper"], False),
        ("ssl_alpnet", ["panet", "paper"], False),
    ]


@pytest.mark.parametrize("config", [[], ["paper"]])
def test_the_queue_of_the_results_page_names_overlays_that_go_together(names, config):
    listed = names(read_queue(ROOT / "docs/tables.yaml", config))
    assert {bundle for bundle, _ in listed} == {path.name for path in (ROOT / "bundles").iterdir()}
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("methods: [", "cannot be read"),
        ("- adnet", "a queue is two lists, methods and starts; found \\['adnet'\\]"),
        ("methods: []", "a queue is two lists"),
        ("{methods: [{bundle: adnet}], folds: [0]}", "a queue is two lists"),
        ("methods: {bundle: adnet}", "methods is {'bundle': 'adnet'}; it takes a list"),
        ("methods: [{config: [panet]}]", "item 1 of methods is {'config': \\['panet'\\]}; it takes bundle, config"),
        ("methods: [{bundle: adnet, fold: 1}]", "item 1 of methods names 'fold'; it takes bundle, config"),
        ("methods: [{bundle: adnet, config: cpu}]", "config is 'cpu'; it takes a list of overlays"),
        ("methods: [{bundle: adnet, repeats: true}]", "repeats is True; it takes a whole number"),
        ("{methods: [{bundle: adnet}], starts: [{repeats: 2}]}", "item 1 of starts names 'repeats'; it takes config"),
        ("methods: [{bundle: unet}]", "no bundle unet"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, message):
    path = tmp_path / "queue.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_queue(path)


def run(*arguments, **options):
    command = [sys.executable, "-m", "common.tools.cli", "crossval", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def test_an_option_that_the_queue_has_itself_is_refused(queue):
    answer = run("--queue", queue, "--bundle", "adnet")
    assert answer.returncode == 1 and answer.stderr.splitlines() == [
        f"error: --bundle and --queue: {queue} says that of each line; leave one out"
    ]


@pytest.mark.slow
def test_two_bundles_in_one_queue(dataset, tmp_path):
    steps = {"episodes_per_epoch": 10, "max_epochs": 1, "distances": False}
    methods = [{"bundle": name, "set": {**SMALL_TRAINING[name], **steps}} for name in ("adnet", "ssl_alpnet")]
    path = tmp_path / "queue.yaml"
    path.write_text(yaml.safe_dump({"methods": methods}))
    arguments = ["--queue", path, "--dataset", "tiny", "--data", dataset, "--folds", "0", "--output", tmp_path / "out"]
    run(*arguments, "--jobs", "2", check=True)
    found = sorted((tmp_path / "out").glob("*.json"))
    assert [json.loads(file.read_text())["run"]["bundle"] for file in found] == ["adnet", "ssl_alpnet"]
