"""Packaged bundles: what is in them, and that they do without the repository what the repository's bundles do."""

import functools
import hashlib
import http.server
import json
import re
import shutil
import threading
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml

import common
from common.errors import InputError
from common.files.record import read_record
from common.tools.packaging.naming import name_organs
from common.tools.packaging.package import package as write_package
from common.tools.packaging.package import package_all
from tests.e2e.packaged import BUNDLES, TRAINED_WITH, copy_with_tiny_overlay
from tests.e2e.packaged import package as run_package
from tests.e2e.tiny import SMALL, SMALL_3D
from tests.test_project import NOT_FOR_INFERENCE, refuse_imports

# Files that a README names and that a training writes, or people have.
WRITTEN_OR_GIVEN = {"model_previous.pt", "model_best.pt", "resnext-101-kinetics.pth", "dataset.json"}


@pytest.fixture(scope="module", params=SMALL)
def bundle(request):
    return request.param


@pytest.fixture(scope="module")
def folder(bundle, packaged):
    return packaged(bundle)


def overrides(**settings):
    return [part for key, value in settings.items() for part in (f"--{key}", str(value))]


def test_the_file_list_is_complete_and_true(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {*listed, "SHA256SUMS"}
    assert all(hashlib.sha256(files[name].read_bytes()).hexdigest() == digest for name, digest in listed.items())
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert {"LICENSE", "models/model.pt", "configs/metadata.json", "docs/README.md"} <= set(listed)
    assert not [name for name in listed if "packaging" in name or name.endswith("cli.py") or "__pycache__" in name]


def test_a_folder_that_is_no_bundle_is_refused_and_leaves_nothing(tmp_path):
    (tmp_path / "cases").mkdir()
    with pytest.raises(InputError, match=r"cases is no bundle: it has no configs/metadata\.json"):
        write_package(tmp_path / "cases", tmp_path / "dist")
    assert [path.name for path in tmp_path.iterdir()] == ["cases"]


def test_the_archive_holds_the_folder(folder):
    version = json.loads((folder / "configs/metadata.json").read_text())["version"]
    assert version == common.__version__
    with zipfile.ZipFile(folder.parent / f"{folder.name}_v{version}.zip") as archive:
        assert archive.testzip() is None
        held = {name.removeprefix(f"{folder.name}/"): archive.read(name) for name in archive.namelist()}
    assert held == {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_nothing_names_the_repository(folder, bundle):
    for path in [*folder.glob("configs/*.yaml"), *folder.glob("scripts/*.py"), folder / "docs/README.md"]:
        text = path.read_text()
        assert f"bundles/{bundle}" not in text and "_target_: common." not in text and "from common" not in text, path


def test_the_readme_has_the_zoos_sections_and_names_what_is_there(folder, bundle):
    text = (folder / "docs/README.md").read_text()
    assert re.findall(r"^##+ \*\*(.+)\*\*$", re.sub(r"^####.*\n", "", text, flags=re.MULTILINE), re.MULTILINE) == [
        *("Authors", "Tags", "Model Description", "Data", "Performance", "Additional Usage Steps"),
        *("System Configuration", "Limitations", "References"),
    ]
    parameters = float(re.search(r"has ([\d.]+) million parameters", text)[1])
    assert parameters == pytest.approx((folder / "models/model.pt").stat().st_size / 4e6, rel=0.2, abs=0.01)
    named = set(re.findall(r"(?:configs/|scripts/)?[\w-]+\.(?:yaml|py|md|txt|json|pth?)\b", text)) - WRITTEN_OR_GIVEN
    there = [str(path) for path in folder.rglob("*")]
    assert {name for name in named if not any(path.endswith(f"/{name}") for path in there)} == set()
    assert "fewshot" not in text.replace("The fewshot-bundles authors", "")


def test_the_overlays_are_written_into_the_training_and_come_with_the_weights(folder, bundle):
    train, inference = (
        yaml.safe_load((folder / f"configs/{name}.yaml").read_text()) for name in ("train", "inference")
    )
    assert {key: train[key] for key in SMALL[bundle]} == SMALL[bundle]
    assert train["episodes_per_epoch"] == 20
    assert not inference.keys() & SMALL[bundle].keys()
    settings = read_record(folder / "models/model.pt")["settings"]
    assert {key: settings[key] for key in SMALL[bundle]} == SMALL[bundle]


def run_alone(run_python, tmp_path, blocked, *arguments):
    """Run MONAI's bundle runner in an empty folder, without the repository and the blocked packages."""
    empty = tmp_path / "empty"
    empty.mkdir(exist_ok=True)
    code = "import runpy; runpy.run_module('monai.bundle', run_name='__main__', alter_sys=True)"
    result = run_python("-c", refuse_imports(code, ["common", "tests", *blocked]), *arguments, cwd=empty)
    assert not list(empty.iterdir())
    return result


def test_it_segments_bit_for_bit_as_the_repository_does(folder, bundle, run_python, dataset, tmp_path):
    files = {
        "image": dataset / "imagesTr/case_1.nii.gz",
        "support_image": dataset / "imagesTr/case_3.nii.gz",
        "support_label": dataset / "labelsTr/case_3.nii.gz",
    }
    alone = overrides(**files, output_dir=tmp_path / "alone", confidence=True)
    run_alone(
        run_python, tmp_path, NOT_FOR_INFERENCE, "run", "--config_file", f"{folder}/configs/inference.yaml", *alone
    )
    own = overrides(**files, output_dir=tmp_path / "own", confidence=True, checkpoint=folder / "models/model.pt")
    run_python("-m", "monai.bundle", "run", "--config_file", BUNDLES / bundle / "configs/inference.yaml", *own)
    for name in ("case_1_seg.nii.gz", "case_1_confidence.nii.gz"):
        first, second = (nib.load(tmp_path / side / name) for side in ("alone", "own"))
        assert np.array_equal(first.get_fdata(), second.get_fdata()) and np.array_equal(first.affine, second.affine)
    assert nib.load(tmp_path / "alone/case_1_seg.nii.gz").get_fdata().any()


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d", "lsnet"], indirect=True)
def test_it_trains_bit_for_bit_as_before_and_evaluates(folder, run_python, dataset, tmp_path):
    """Each kind of episodes once; the model zoo's unit tests train the other bundles too."""
    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    config = f"{folder}/configs/train.yaml"
    run_alone(run_python, tmp_path, [], "run", "--config_file", config, *overrides(dataset_dir=dataset, **places))
    first = torch.load(folder / "models/model.pt", weights_only=True)
    second = torch.load(tmp_path / "ckpt_dir/model.pt", weights_only=True)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    both = f"['{config}','{folder}/configs/evaluate.yaml']"
    run_alone(run_python, tmp_path, [], "run", "--config_file", both, *overrides(dataset_dir=dataset, **places))
    assert len((tmp_path / "output_dir/cases.csv").read_text().splitlines()) > 4


@pytest.mark.slow
@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"], indirect=True)  # slices and volumes
def test_the_zoos_unit_tests_pass(folder, bundle, run_python, tmp_path):
    """From folders named as the zoo's; the distributed one under torchrun."""
    shutil.copytree(folder, tmp_path / "models" / bundle)
    for name in (f"test_{bundle}.py", f"test_{bundle}_dist.py"):
        shutil.copy(folder.parent / "unit_tests" / name, tmp_path)
    run_python("-m", "unittest", f"test_{bundle}.py", cwd=tmp_path)
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "unittest")
    run_python(*launch, f"test_{bundle}_dist.py", cwd=tmp_path)


# ---------------------------------------------------------------------------------------------------------- one bundle


@pytest.fixture(scope="module")
def adnet(packaged):
    return packaged("adnet")


def test_packaging_again_gives_the_same_bytes(adnet, run_python):
    source = adnet.parents[1] / "bundles/adnet"
    before = (adnet.parent / "adnet_v0.1.0.zip").read_bytes()
    run_package(source, adnet.parents[1], run_python, ["tiny"])
    assert (adnet.parent / "adnet_v0.1.0.zip").read_bytes() == before


def test_weights_elsewhere_are_downloaded_and_checked(adnet, run_python, tmp_path):
    source = adnet.parents[1] / "bundles/adnet"
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "dist"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{{file}}"
        shutil.copytree(adnet.parents[1] / "models", tmp_path / "models")
        run_package(source, tmp_path, run_python, ["tiny"], "--weights-url", address)
        package = tmp_path / "dist/adnet"
        assert not (package / "models").exists()
        (entry,) = yaml.safe_load((package / "large_files.yml").read_text())["large_files"]
        assert entry["path"] == "models/model.pt" and entry["url"].endswith("adnet_v0.1.0_model.pt")
        run_python("-m", "monai.bundle", "download_large_files", "--bundle_path", package)
        server.shutdown()
    assert (package / "models/model.pt").read_bytes() == (adnet / "models/model.pt").read_bytes()


def test_a_link_becomes_the_file(adnet, run_python, tmp_path):
    source = copy_with_tiny_overlay("adnet", tmp_path)
    shutil.copytree(adnet.parents[1] / "models", tmp_path / "models")
    (source / "docs/licence.txt").symlink_to(source / "docs/README.md")
    run_package(source, tmp_path, run_python, ["tiny"])
    copy = tmp_path / "dist/adnet/docs/licence.txt"
    assert not copy.is_symlink() and copy.read_bytes() == (source / "docs/README.md").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda source: (source / "configs/big.bin").write_bytes(bytes(26 * 10**6)), "takes 25"),
        (lambda source: (source / "docs/notes.txt").write_text("see /home/jane/scans"), "names the folder /home/jane"),
        (
            lambda source: (source / "configs/tiny.yaml").write_text("# x\ntrain#nothing#x: 1\n"),
            "no mapping train#nothing",
        ),
        (
            lambda source: (source / "configs/tiny.yaml").write_text("# x\nencoder_depth: 50\n"),
            "trained with 18; leave",
        ),
        (lambda source: (source / "configs/tiny.yaml").unlink(), "tiny.yaml; there are:"),
    ],
)
def test_what_cannot_be_packaged_is_refused_and_leaves_nothing(adnet, run_python, tmp_path, spoil, message):
    source = copy_with_tiny_overlay("adnet", tmp_path)
    shutil.copytree(adnet.parents[1] / "models", tmp_path / "models")
    spoil(source)
    arguments = ("--checkpoint", tmp_path / "models/model.pt", "--config", "tiny", "--output", tmp_path / "dist")
    result = run_python("-m", "common.tools.cli", "package", source, *arguments, check=False)
    assert result.returncode == 1 and message in result.stdout.splitlines()[-1], result.stdout[-2000:]
    assert list((tmp_path / "dist").iterdir()) == []


@pytest.mark.parametrize(
    ("organs", "message"),
    [
        ({1: "liver", 4: "spleen"}, "the values are 1, 4; number the organs 1, 2, 3"),
        ({1: "liver", 2: "Liver"}, "two of liver, Liver are the same"),
        ({1: "Foreground"}, "foreground is the name of no organ"),
    ],
)
def test_organs_that_clients_could_not_show_are_refused(tmp_path, organs, message):
    metadata = shutil.copy(BUNDLES / "adnet/configs/metadata.json", tmp_path)
    with pytest.raises(ValueError, match=message):
        name_organs(Path(metadata), organs)
    assert Path(metadata).read_bytes() == (BUNDLES / "adnet/configs/metadata.json").read_bytes()


def test_organs_are_named_in_the_metadata(adnet, run_python, tmp_path):
    shutil.copytree(adnet.parents[1] / "models", tmp_path / "models")
    source = adnet.parents[1] / "bundles/adnet"
    run_package(source, tmp_path, run_python, ["tiny"], "--organs", "2=left kidney,1=liver")
    outputs = json.loads((tmp_path / "dist/adnet/configs/metadata.json").read_text())["network_data_format"]["outputs"]
    assert outputs["pred"]["channel_def"] == {"0": "background", "1": "liver", "2": "left kidney"}


def test_weights_of_another_network_and_foreign_folders_are_refused(adnet, tmp_path):
    torch.save(dict(torch.load(adnet / "models/model.pt")), tmp_path / "model.pt")  # without the settings
    with pytest.raises(ValueError, match="checkpoint of another network"):
        package_all([BUNDLES / "adnet"], tmp_path, checkpoint=tmp_path / "model.pt")
    (tmp_path / "adnet").mkdir()
    with pytest.raises(ValueError, match="is no packaged bundle"):
        package_all([BUNDLES / "adnet"], tmp_path, checkpoint=adnet / "models/model.pt")


def test_adnet_in_3d_is_a_bundle_of_its_own(run_python, dataset, tmp_path):
    source = copy_with_tiny_overlay("adnet", tmp_path)
    text = (source / "configs/tiny.yaml").read_text() + yaml.safe_dump(SMALL_3D) + "min_voxels: 50\n"
    path = source / "configs/train_3d.yaml"
    kept = [line for line in path.read_text().splitlines() if line.split(":")[0] not in [*SMALL_3D, "min_voxels"]]
    lines = [line for line in text.splitlines()[1:] if line and line.split(":")[0] not in "train"]
    path.write_text("\n".join(kept) + "\n" + "\n".join(lines) + "\n")
    configs = str([f"{source}/configs/{name}.yaml" for name in ("train", "train_3d")])
    places = {
        name: tmp_path / folder for name, folder in (("ckpt_dir", "models"), ("output_dir", "e"), ("cache_dir", "c"))
    }
    arguments = overrides(dataset_dir=dataset, max_epochs=1, **places)
    run_python("-m", "monai.bundle", "run", "--config_file", configs, *arguments)
    run_package(source, tmp_path, run_python, [], "--variant", "3d")
    variant = tmp_path / "dist/adnet_3d"
    metadata = json.loads((variant / "configs/metadata.json").read_text())
    assert "3D" in metadata["name"] and len(metadata["network_data_format"]["inputs"]["image"]["spatial_shape"]) == 3
    assert sorted(path.stem for path in variant.glob("configs/*.yaml")) == [
        *("evaluate", "inference", "multi_gpu_train", "train")
    ]
    files = {"image": "imagesTr/case_1", "support_image": "imagesTr/case_3", "support_label": "labelsTr/case_3"}
    paths = {key: dataset / f"{name}.nii.gz" for key, name in files.items()}
    config = f"{variant}/configs/inference.yaml"
    run_alone(
        run_python, tmp_path, [], "run", "--config_file", config, *overrides(**paths, output_dir=tmp_path / "out")
    )
    assert (tmp_path / "out/case_1_seg.nii.gz").is_file()


def test_lsnet_is_packaged_as_it_was_trained(packaged):
    assert TRAINED_WITH["lsnet"] == ["train_ssl"]
    train = yaml.safe_load((packaged("lsnet") / "configs/train.yaml").read_text())
    assert train["train"]["dataset"]["labelled"] is False
    assert train["train"]["masks"][0]["_target_"] == "scripts.common.supervoxels.Supervoxelsd"
