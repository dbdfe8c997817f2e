"""The wheel alone, in an environment without the checkout: command and bundles are there and work."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import nibabel as nib
import pytest

from common.configuration.workflow import bundle_folder, shipped_bundles
from common.errors import InputError
from tests.e2e.tiny import SMALL, SMALL_TRAINING

ROOT = Path(__file__).parents[2]


def test_a_bundle_is_found_by_name_and_by_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bundle_folder("adnet") == bundle_folder(ROOT / "bundles/adnet") == ROOT / "bundles/adnet"
    (tmp_path / "adnet/configs").mkdir(parents=True)
    assert bundle_folder("adnet") == tmp_path / "adnet"  # a folder of the person's own comes first
    with pytest.raises(InputError, match=f"no bundle adnett: .* one of these: {', '.join(sorted(SMALL))}"):
        bundle_folder("adnett")
    assert [folder.name for folder in shipped_bundles()] == sorted(SMALL)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Give ``installed(program, *arguments, cwd)``: run in an environment of the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files do not count
    subprocess.run([folder / "bin/pip", "install", "-q", "--no-deps", wheel], check=True)

    def run(program, *arguments, cwd):
        command = [folder / "bin" / program, *map(str, arguments)]
        result = subprocess.run(command, cwd=cwd, env={"PATH": "/usr/bin:/bin"}, text=True, capture_output=True)
        assert result.returncode == 0, f"{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
        return result.stdout

    return run


@pytest.mark.slow
def test_nothing_that_runs_write_is_in_it(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"common/bundles/{name}/configs/train.yaml" for name in SMALL} <= set(names)
    written = ("/models/", "/cache/", "/eval/", "/predictions/", "__pycache__")
    found = [name for name in names if any(part in name for part in written)]
    assert not [name for name in found if "/models/synthetic." not in name]
    assert "common/bundles/adnet/models/synthetic.pt" in names
    assert not [name for name in names if name.startswith(("bundles/", "tests/"))]


@pytest.mark.slow
def test_the_command_is_there(installed, tmp_path):
    assert "segment" in installed("fewshot", "--help", cwd=tmp_path)
    code = "import common; print(common.__file__)"
    assert str(ROOT) not in installed("python", "-c", code, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])  # slices and volumes
def test_a_bundle_trains_by_monais_runner_and_segments_by_its_name(bundle, installed, dataset, options, tmp_path):
    folder = installed("fewshot", "where", bundle, cwd=tmp_path).strip()
    assert folder.endswith(f"site-packages/common/bundles/{bundle}")
    before = _files(folder)
    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    steps = {"episodes_per_epoch": 4, "batch_size": 1, "max_epochs": 1, "val_interval": 2}
    settings = options(**{**SMALL_TRAINING[bundle], **steps}, **places, dataset_dir=dataset)
    config = f"{folder}/configs/train.yaml"
    installed("python", "-m", "monai.bundle", "run", "training", "--config_file", config, *settings, cwd=tmp_path)
    support = [
        "--support-image",
        dataset / "imagesTr/case_3.nii.gz",
        "--support-label",
        dataset / "labelsTr/case_3.nii.gz",
    ]
    query = ["--image", dataset / "imagesTr/case_1.nii.gz", "--output-dir", tmp_path / "out"]
    weights = ["--bundle", bundle, "--checkpoint", tmp_path / "ckpt_dir/model.pt"]
    installed("fewshot", "segment", *weights, *support, *query, cwd=tmp_path)
    assert nib.load(tmp_path / "out/case_1_seg.nii.gz").shape == (64, 60, 6)
    assert _files(folder) == before


def _files(folder):
    return {path for path in Path(folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
