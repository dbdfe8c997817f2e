"""Datasets of every layout through the command line and the bundle runner: the same subjects, or the same refusal."""

from __future__ import annotations

import shutil
from pathlib import Path

import fire
import pytest
import yaml
from monai.bundle import run
from typer.testing import CliRunner

from common.configuration.workflow import bundle_workflow
from common.tools.cli import app
from tests.e2e.tiny import SMALL_TRAINING, save, scan


@pytest.fixture(scope="module")
def bundle(bundle_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles") / "adnet"
    shutil.copytree(bundle_root("adnet"), folder, ignore=shutil.ignore_patterns("models", "eval", "cache"))
    (folder / "configs" / "tiny.yaml").write_text(yaml.safe_dump(SMALL_TRAINING["adnet"]))
    return folder


@pytest.fixture(params=["fewshot", "runner"])
def refused(request, bundle, own_scripts):
    """Give the one line with which training on a folder is refused, through one of the two doors."""

    def train(folder: Path) -> str:
        if request.param == "fewshot":
            arguments = ["train", "--bundle", str(bundle), "--config", "tiny", "--dataset-dir", str(folder)]
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 1
            message = str(result.exception)
        else:
            files = str([str(bundle / "configs" / f"{name}.yaml") for name in ("train", "tiny")])
            with pytest.raises(SystemExit) as failure:
                fire.Fire({"run": run}, command=["run", "--config_file", files, "--dataset_dir", str(folder)])
            message = str(failure.value)
        assert message.startswith("error: ") and "\n" not in message
        return message

    return train


def write(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        image, label = scan(number)
        save(folder / f"{name}.nii.gz", label if "label" in name or "seg" in name else image)


def test_second_channel(refused, bundle, tmp_path):
    write(tmp_path, *(f"imagesTr/c{n}_000{c}" for n in range(2) for c in range(2)), "labelsTr/c0", "labelsTr/c1")
    assert "2 channels of subjects such as c0, 0, 1: choose one with channel (--channel 1)" in refused(tmp_path)
    parser = bundle_workflow(bundle, ["train", "tiny"], dataset_dir=str(tmp_path), channel=1).parser
    assert [Path(item["image"]).name[:7] for item in parser.get_parsed_content("datalist")] == ["c0_0001", "c1_0001"]


def test_flat_folder(refused, bundle, tmp_path):
    write(tmp_path, "c0", "c0_seg", "c1", "c1_seg")
    parser = bundle_workflow(bundle, ["train", "tiny"], dataset_dir=str(tmp_path)).parser
    assert [(item["subject"], Path(item["label"]).name) for item in parser.get_parsed_content("datalist")] == [
        ("c0", "c0_seg.nii.gz"),
        ("c1", "c1_seg.nii.gz"),
    ]
    (tmp_path / "c1.nii.gz").unlink()
    assert "c1_seg.nii.gz: a label map by its name" in refused(tmp_path)


def test_missing_and_outside(refused, tmp_path):
    write(tmp_path / "set", "imagesTr/c0", "labelsTr/c0")
    (tmp_path / "set" / "dataset.json").write_text('{"training": ["imagesTr/c0.nii.gz", "imagesTr/c1.nii.gz"]}')
    assert "imagesTr/c1.nii.gz is missing: restore" in refused(tmp_path / "set")
    write(tmp_path, "other")
    (tmp_path / "set" / "dataset.json").write_text('{"training": ["../other.nii.gz"]}')
    assert "../other.nii.gz lies outside of the folder" in refused(tmp_path / "set")
