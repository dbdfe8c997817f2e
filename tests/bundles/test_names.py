"""Every bundle says its own name, that of its about.yaml, wherever it names itself."""

import json
import shutil

import pytest

from tests.bundles.networks import BUNDLES
from tests.e2e.tiny import ABOUT


def first_line(path):
    return path.read_text().partition("\n")[0]


def faults(folder, name):
    """Say where a bundle has another name."""
    metadata = json.loads((folder / "configs/metadata.json").read_text())
    wrong = {
        "docs/README.md": first_line(folder / "docs/README.md") != f"# {name}",
        "metadata, name": metadata["name"] != f"{name} few-shot segmentation",
        "metadata, description": not metadata["description"].startswith(f"{name}: "),
        **{
            f"configs/{config}.yaml": not first_line(folder / f"configs/{config}.yaml").startswith(f"# {name}: ")
            for config in ("train", "inference")
        },
    }
    return [place for place, other in wrong.items() if other]


@pytest.mark.parametrize("bundle", ABOUT)
def test_a_bundle_has_one_name(bundle):
    assert faults(BUNDLES / bundle, ABOUT[bundle]["name"]) == []
    assert ABOUT[bundle]["methods"].get(ABOUT[bundle]["name"]) == []


def test_names_differ():
    assert len({about["name"] for about in ABOUT.values()}) == len(ABOUT)


@pytest.mark.parametrize("file", ["docs/README.md", "configs/train.yaml", "configs/inference.yaml"])
def test_another_name_is_noticed(tmp_path, file):
    folder = shutil.copytree(BUNDLES / "adnet", tmp_path / "adnet")
    (folder / file).write_text((folder / file).read_text().replace("ADNet", "Other", 1))
    assert faults(folder, "ADNet") == [file]


@pytest.mark.parametrize("key", ["name", "description"])
def test_another_name_in_the_metadata_is_noticed(tmp_path, key):
    folder = shutil.copytree(BUNDLES / "adnet", tmp_path / "adnet")
    path = folder / "configs/metadata.json"
    metadata = json.loads(path.read_text())
    path.write_text(json.dumps({**metadata, key: metadata[key].replace("ADNet", "Other")}))
    assert faults(folder, "ADNet") == [f"metadata, {key}"]
