"""Wrong settings are refused in one line before any work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigParser

from common.configuration.allowed import ALLOWED
from common.configuration.files import SHARED
from common.configuration.settings import check_settings
from common.configuration.workflow import check_configuration
from common.errors import InputError
from tests.bundles.config_rules import PLUMBING, parse, walk

ROOT = Path(__file__).parents[1] / "bundles"
BUNDLES = sorted(path.parent.name for path in ROOT.glob("*/configs"))
pytestmark = pytest.mark.usefixtures("own_scripts")


def refusal(bundle="adnet", configs=("train",), **settings):
    """Return the one line that refuses settings."""
    with pytest.raises(InputError) as failure:
        check_configuration(ROOT / bundle, configs, settings)
    assert "\n" not in str(failure.value)
    return str(failure.value)


# ------------------------------------------------------------------------------------------------------------- unknown


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("max_epoch", "max_epochs"),
        ("Seed", "seed"),
        ("train#trainer#max_epoch", "train#trainer#max_epochs"),
        ("train::trainer::max_epoch", "train#trainer#max_epochs"),
        ("train#traner#max_epochs", "train#trainer"),
        ("train#suprvoxels", "train#supervoxels"),
        ("train#handlers#4#log_dr", "train#handlers#4#log_dir"),
        ("network_def#encoder#deph", "network_def#encoder#depth"),
        ("validate#load_support#organ", "validate#load_support#organs"),
    ],
)
def test_an_unknown_id_is_refused_with_the_nearest(name, nearest):
    line = refusal(**{name: 1})
    assert name.replace("::", "#") in line.replace("::", "#") and f"did you mean {nearest}?" in line


def test_an_old_name_is_refused_with_the_new_one():
    assert refusal("ssl_alpnet", gamma_target="both").endswith("; it is now intensity_target")
    assert refusal("ssl_alpnet", gamma_first=True).endswith("; it is now intensity_first")
    name = "train#dataloader#gamma_target"
    assert refusal("lsnet", **{name: "both"}).endswith("; it is now train#dataloader#intensity_target")


@pytest.mark.parametrize(("bundle", "name"), [("lsnet", "min_area"), ("alpnet3d", "patch_size"), ("adnet", "pairing")])
def test_an_old_place_is_refused_with_the_new_one(bundle, name):
    line = refusal(bundle, **{f"train#dataloader#{name}": 20})
    assert line.endswith(f"has no train#dataloader#{name}; it is now train#dataloader#pairs#{name}")
    assert "pairs" not in refusal("alpnet3d", min_area=20)


def test_what_resembles_nothing_is_refused_without_a_guess():
    assert refusal(zzz=1) == "zzz: this configuration has no zzz"
    assert "did you mean" not in refusal(misspelt=1)


def test_an_id_of_another_configuration_or_bundle_is_unknown():
    assert "max_epochs" in refusal(configs=["inference"], max_epochs=3)
    assert "kappa" in refusal("ssl_alpnet", kappa=0.5)
    assert "cuda_graph" in refusal(cuda_graph=False)
    check_configuration(ROOT / "adnet", ["train", "fast"], {"cuda_graph": False})


def test_a_part_of_a_number_is_refused():
    assert refusal(**{"max_epochs#x": 1}) == "max_epochs#x: max_epochs is 50 and has no parts; set max_epochs itself"


def test_an_id_that_nothing_defines_is_missed():
    assert "max_epoch is referred to" in refusal(**{"train#trainer#max_epochs": "@max_epoch"})


@pytest.mark.parametrize(
    ("configs", "settings"),
    [
        (["train"], {"validate#load_support#organs": [1], "validate#postprocessing#space": "original"}),
        (["train"], {"train#trainer#amp": True, "train#trainer#max_epochs": 2}),
        (["train"], {"validate#key_metric#other": {"_target_": "MeanDice", "include_background": True}}),
        (["train"], {"train#handlers": [], "train#dataset#data": [{"image": "a.nii", "subject": "$5"}]}),
        (["train"], {"bundle_root": "/elsewhere", "device": "cpu", "validate#dataset#data": []}),
        (["train", "evaluate"], {"checkpoint": None, "distances": False}),
        (["inference", "quick"], {"organ_names": {1: "liver"}}),
        (
            ["inference", "chaos_t2", "cpu", "short"],
            {"checkpoint": None, "displayable_configs": {"support": "a", "more": 1}},
        ),
    ],
)
def test_what_the_configuration_or_a_component_takes_is_accepted(configs, settings):
    check_configuration(ROOT / "adnet", configs, settings)


def test_an_overlay_may_bring_ids_that_something_uses(tmp_path):
    parser = ConfigParser(yaml.safe_load((ROOT / "adnet/configs/train.yaml").read_text()))
    parser["imports"] = []
    parser["extra"], parser["train#trainer#max_epochs"] = 3, "@extra"
    check_settings(parser, ROOT / "adnet/configs")
    parser["left_over"] = 3
    with pytest.raises(InputError, match="left_over"):
        check_settings(parser, ROOT / "adnet/configs")


def test_monais_experiment_tracking_adds_ids_of_its_own(tmp_path):
    config = str(ROOT / "adnet/configs/train.yaml")
    from monai.bundle import ConfigWorkflow

    places = {"output_dir": str(tmp_path), "save_execute_config": False}
    workflow = ConfigWorkflow(config, tracking="mlflow", **places, run_name="a")
    check_settings(workflow.parser, ROOT / "adnet/configs")


# -------------------------------------------------------------------------------------------------------------- values

WRONG = {
    "image_size": [0, -1, 3.5, "abc", [256, 256], True, 10**9],
    "spacing": [[-1.0, 1.0, 1.0], [1.0, 2.0], 1.25, [1.0, "a", 2.0], [float("nan"), 1.0, 1.0], [1e9, 1.0, 1.0]],
    "fold": [7, -1, "x", 0.5],
    "upper_percentile": [300, 0, -5, "high"],
    "axcodes": ["XYZ", "RAR", "RA", "ras", 3],
    "num_workers": [-1, "two"],
    "init": [3, ""],
    "precision": ["double", 16],
    "seed": [-1, 2**32, "abc"],
    "batch_size": [0, 2.0],
    "max_epochs": [0, "ten"],
    "learning_rate": [0, -0.1, "fast", float("inf")],
    "intensity_std": [0, -1.0],
    "intensity_window": [[275, -125], [1], "soft"],
    "protocol": ["ep3", "k0", 1],
    "challenge": ["chaoss"],
    "encoder_depth": [34],
    "device": ["cuda:99", "tpu9"],
    "resume": ["yes", 1],
    "cache_dir": [5, None],
}
WRONG_AT_INFERENCE = {
    "query_slices": [3, [3], [9, 2], [-1, 4], "3,9"],
    "organs": ["liver", ["liver"], 1, [], [0], [1.5]],
    "organ_names": [["liver"], {"a": "liver"}, {1: 2}],
    "confidence": ["yes"],
    "image": [5, [1]],
}


@pytest.mark.parametrize(
    ("configs", "name", "value"),
    [
        *((["train", "fast"], name, value) for name, values in WRONG.items() for value in values),
        *((["inference"], name, value) for name, values in WRONG_AT_INFERENCE.items() for value in values),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_is_allowed(configs, name, value):
    line = refusal(configs=configs, **{name: value})
    assert line.startswith(f"{name} is ") and line.endswith(f"; it takes {ALLOWED[name].words}")


def test_every_wrong_value_is_named():
    line = refusal(image_size=0, fold=7)
    assert "image_size is 0" in line and "fold is 7" in line


def test_an_expression_is_evaluated_first():
    check_configuration(ROOT / "adnet", ["train"], {"fold": "$None", "max_epochs": "$2 + 3"})
    assert "max_epochs is 0" in refusal(max_epochs="$5 - 5")
    assert "cannot be evaluated: ZeroDivisionError" in refusal(max_epochs="$1 / 0")
    assert "rank is \"$int(os.environ['RANK'])\", which cannot be" in refusal(configs=["train", "multi_gpu_train"])


def test_paths_are_not_evaluated(tmp_path):
    made = tmp_path / "made"
    check_configuration(ROOT / "adnet", ["inference"], {"image": f"$open({str(made)!r}, 'w')"})
    assert not made.exists()


# --------------------------------------------------------------------------------------------------------------- table

FILES = [*sorted(ROOT.glob("*/configs/**/*.yaml")), *sorted(SHARED.glob("*.yaml"))]
DOCUMENTS = [parse(path.read_text(), path.stem) for path in FILES]


def hyperparameters(document):
    """Ids with a plain value; those of components and of what MONAI Label shows are no hyperparameters."""
    for name, value in document.content.items():
        nested = isinstance(value, dict) or any(isinstance(inner, dict) for _, inner in walk(value))
        computed = isinstance(value, str) and value.startswith(("$", "@"))
        if name not in PLUMBING and not nested and not computed and not name.startswith("overlays#"):
            yield name, value


def test_every_hyperparameter_keeps_its_line_in_the_table():
    """Those of one method alone need none: they take what their value in train.yaml is."""
    faults = [
        f"{document.name}: {name}"
        for document in DOCUMENTS
        for name, value in hyperparameters(document)
        if name in ALLOWED and not ALLOWED[name].fits(value)
    ]
    assert DOCUMENTS and faults == []


def test_a_hyperparameter_that_methods_share_has_a_line_in_the_table():
    trains = [parse(path.read_text()) for path in ROOT.glob("*/configs/train.yaml")]
    methods = Counter(name for document in trains for name, _ in hyperparameters(document))
    assert {name for name, number in methods.items() if number > 1} - set(ALLOWED) == set()


@pytest.mark.parametrize(
    ("value", "right", "wrong", "words"),
    [
        (True, False, 1, "true or false"),
        (0.3, 2, "two", "a number"),
        ([1, 2.5], [3], 3, "a list of values, each a number"),
        ("mean", "max", 3, "a text"),
    ],
)
def test_a_setting_of_one_method_takes_what_its_value_in_train_yaml_is(tmp_path, value, right, wrong, words):
    content = {**yaml.safe_load((ROOT / "adnet/configs/train.yaml").read_text()), "imports": [], "own_weight": value}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(content))
    check_settings(ConfigParser({**content, "own_weight": right}), tmp_path)
    with pytest.raises(InputError, match=f"^own_weight is .*; it takes {words}$"):
        check_settings(ConfigParser({**content, "own_weight": wrong}), tmp_path)


def test_every_line_of_the_table_is_of_a_setting():
    defined = {
        name
        for document in DOCUMENTS
        for name in [*document.content, *("#".join(p) for p, _ in walk(document.content))]
    }
    assert set(ALLOWED) - defined - {"validate#load_support#organs"} == set()


# ----------------------------------------------------------------------------------------------------------- run lists


def test_the_run_list_of_every_configuration_begins_with_the_check():
    runs = [document.content["run"] for document in DOCUMENTS if "run" in document.content]
    assert len(runs) >= 2 * len(BUNDLES) and all(steps[0] == "$@check()" for steps in runs)
