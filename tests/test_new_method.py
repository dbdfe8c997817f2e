"""``fewshot new-method``: the bundle that it makes is found, trains, and is packaged, without an edit elsewhere."""

import shutil

import pytest
import yaml

from common.errors import InputError
from common.tools.new_method import new_method
from tests.bundles.test_names import faults
from tests.conftest import REPOSITORY

IGNORED = shutil.ignore_patterns("__pycache__", "models", "cache", "eval", "mine")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, run_python):
    """A copy of what the command line needs, with a bundle made in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("common", "bundles"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=IGNORED)
    shutil.copy(REPOSITORY / "LICENSE", folder)
    run_python("-m", "common.tools.cli", "new-method", "mine", "--title", "My Net", cwd=folder)
    return folder


def test_it_is_short_and_says_its_own_name(checkout):
    files = [path for path in (checkout / "bundles/mine").rglob("*") if path.is_file()]
    assert sum(path.read_text().count("\n") for path in files) <= 300
    assert not [path for path in files if "TITLE" in path.read_text() or "NAME" in path.read_text().split()]
    assert faults(checkout / "bundles/mine", "My Net") == []


def test_it_is_found(checkout, run_python):
    code = "from common.tools.crossval.published import all_abouts; print([a['name'] for a in all_abouts()])"
    assert "My Net" in run_python("-c", f"import sys; sys.path.insert(0, '.'); {code}", cwd=checkout).stdout
    assert run_python("-m", "common.tools.cli", "where", "mine", cwd=checkout).stdout.strip().endswith("bundles/mine")


def test_it_trains_and_is_packaged(checkout, run_python, dataset, tmp_path):
    tests = yaml.safe_load((checkout / "bundles/mine/about.yaml").read_text())["tests"]
    settings = {**tests["tiny"], **tests["training"], "batch_size": 1, "episodes_per_epoch": 4, "max_epochs": 1}
    overrides = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = ("-m", "common.tools.cli", "train", "--bundle", "mine", "--data", dataset, "--config", "quick")
    run_python(*command, "--output-dir", tmp_path / "run", *overrides, cwd=checkout)
    weights = ("--checkpoint", tmp_path / "run/model.pt", "--output", tmp_path / "dist")
    run_python("-m", "common.tools.cli", "package", "mine", *weights, cwd=checkout)
    files = ("LICENSE", "docs/data_license.txt", "configs/logging.conf", "configs/evaluate.yaml", "models/model.pt")
    assert [name for name in files if not (tmp_path / "dist/mine" / name).is_file()] == []


@pytest.mark.parametrize(
    ("name", "title", "words"),
    [
        ("3d", None, "'3d' is no name for a bundle: small letters"),
        ("my-net", None, "'my-net' is no name for a bundle: small letters"),
        ("Mine", None, "'Mine' is no name for a bundle: small letters"),
        ("class", None, "'class' is no name for a bundle: small letters"),
        ("deepedit_2", None, "'deepedit_2' is no name for a bundle: MONAI Label"),
        ("net_v2", None, "'net_v2' is no name for a bundle: MONAI Label"),
        ("mine", "a: b", "--title 'a: b' has letters"),
        ("adnet", None, "there is a bundle adnet already"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_and_leaves_nothing(tmp_path, name, title, words):
    with pytest.raises(InputError, match=f"^{words}"):
        new_method(name, title, tmp_path)
    assert list(tmp_path.iterdir()) == []
