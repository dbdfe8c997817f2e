"""Overlays by axis: the same names everywhere, in any order, and no combination that makes no sense."""

from itertools import permutations
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser

from common.configuration.files import ABLATIONS, all_configs, find_config
from common.configuration.overlays import AXES, check_overlays, in_order
from common.configuration.settings import check_settings
from common.configuration.workflow import check_configuration, merged_config
from common.errors import InputError

ROOT = Path(__file__).parents[1]
NAMES = [path.name for path in sorted((ROOT / "bundles").iterdir()) if (path / "configs").is_dir()]
DATA = ["chaos_t2", "mscmr", "phantom", "sabs", "synthetic", "visceral"]
MACHINES = ["cpu", "paper", "quick"]
pytestmark = pytest.mark.usefixtures("own_scripts")


def configs(bundle):
    return ROOT / "bundles" / bundle / "configs"


def files(bundle):
    return [path for path in all_configs(configs(bundle)) if path.parent.name != ABLATIONS]


def overlays(bundle):
    """Every overlay with an axis, and what it says of itself."""
    content = {path.stem: yaml.safe_load(path.read_text()) for path in files(bundle)}
    return {name: top[f"overlays#{name}"] for name, top in content.items() if f"overlays#{name}" in top}


@pytest.mark.parametrize("bundle", NAMES)
def test_names_are_the_same_in_every_bundle(bundle):
    axes: dict[str, list[str]] = {axis: [] for axis in AXES}
    for name, text in sorted(overlays(bundle).items()):
        axes[text.partition(";")[0]].append(name)
    assert axes["data"] == DATA and axes["machine"] == MACHINES
    assert axes["speed"] == ["fast"] and axes["processes"] == ["multi_gpu_train"]


@pytest.mark.parametrize("bundle", NAMES)
def test_every_overlay_of_a_training_says_its_axis(bundle):
    without = {path.stem for path in files(bundle)} - set(overlays(bundle))
    assert {name for name in without if not name.startswith("evaluate")} == {"train", "inference"}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("bundle", NAMES)
def test_data_and_machine_combine_in_any_order(bundle, data, machine):
    orders = [merged_config(ROOT / "bundles" / bundle, ["train", *order]) for order in permutations((data, machine))]
    assert orders[0] == orders[1]
    first, second = (yaml.safe_load(find_config(configs(bundle), name).read_text()) for name in (data, machine))
    # So that MONAI's runner, which keeps the order that is given, has the same.
    assert not [name for name in first.keys() & second.keys() if first[name] != second[name]]
    for order in ((data, machine), (machine, data)):
        check_configuration(ROOT / "bundles" / bundle, ["train", "fast", *order], {})


@pytest.mark.parametrize(
    ("bundle", "names", "line"),
    [
        ("adnet", ["chaos_t2", "sabs"], "two of one kind, data"),
        ("adnet", ["cpu", "quick"], "two of one kind, machine, both set .*max_epochs.*; choose one"),
        ("adnet", ["paper", "cpu"], "two of one kind, machine"),
        ("adnet", ["pssl", "train_3d"], "make no sense together"),
        ("adnet", ["train_3d", "cpu"], "make no sense together"),
        ("ssl_alpnet", ["vssl", "train_supervised"], "two of one kind, method"),
        ("adnet", ["short"], "overlay short needs cpu; name it too"),
        ("lsnet", ["added_classes"], "overlay added_classes needs visceral"),
    ],
)
def test_what_makes_no_sense_together_is_refused(bundle, names, line):
    with pytest.raises(InputError, match=line):
        check_configuration(ROOT / "bundles" / bundle, ["train", *names], {})


@pytest.mark.parametrize(
    ("bundle", "names", "expected"),
    [
        ("adnet", ["train", "quick", "fast", "evaluate"], ["train", "fast", "quick", "evaluate"]),
        ("ssl_alpnet", ["train", "mscmr", "vssl"], ["train", "vssl", "mscmr"]),
        ("adnet", ["train", "kappa_0.1", "cpu", "short"], ["train", "cpu", "kappa_0.1", "short"]),
        ("adnet", ["train", "multi_gpu_train", "quick", "chaos_t2"], ["train", "chaos_t2", "quick", "multi_gpu_train"]),
    ],
)
def test_order(bundle, names, expected):
    assert in_order(names, configs(bundle)) == expected


def test_an_order_that_loses_a_value_is_refused_by_the_runner():
    """MONAI's runner keeps the order that it is given."""
    chosen = ("quick", "fast")
    files = [find_config(configs("adnet"), name) for name in ("train", *chosen)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser["imports"] = []
    with pytest.raises(InputError, match="overlay fast after quick would replace its batch_size, learning_rate"):
        check_settings(parser, configs("adnet"))


def test_a_wrong_axis_is_refused():
    with pytest.raises(InputError, match="overlays#mine is 'fancy'; it takes one of method, speed"):
        check_overlays({"mine": "fancy"}, configs("adnet"))


def test_the_page_on_overlays_names_each():
    page = (ROOT / "docs" / "overlays.md").read_text()
    missing = {name for bundle in NAMES for name in overlays(bundle) if f"`{name}" not in page}
    assert missing == set()
