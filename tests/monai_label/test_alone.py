"""Packaged bundles in an environment that never saw this project, from an empty folder, by absolute path."""

import os
import subprocess

import pytest

pytestmark = pytest.mark.monai_label


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])  # the others need the same packages
def test_train_evaluate_and_infer(bundle, packaged, monai_label_python, dataset, tmp_path):
    folder = packaged(bundle) / "configs"
    (tmp_path / "empty").mkdir()

    def run(configs, **settings):
        files = str([f"{folder}/{name}.yaml" for name in configs])
        options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        command = [monai_label_python, "-W", "ignore", "-m", "monai.bundle", "run", "--config_file", files, *options]
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FEWSHOT_"))}
        done = subprocess.run(
            command,
            cwd=tmp_path / "empty",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:]

    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    run(["train"], dataset_dir=dataset, max_epochs=1, **places)
    run(["train", "evaluate"], dataset_dir=dataset, **places)
    assert (tmp_path / "output_dir/cases.csv").is_file()
    files = {"image": "imagesTr/case_1", "support_image": "imagesTr/case_3", "support_label": "labelsTr/case_3"}
    paths = {key: dataset / f"{name}.nii.gz" for key, name in files.items()}
    run(["inference"], **paths, output_dir=tmp_path / "out", checkpoint=tmp_path / "ckpt_dir/model.pt")
    assert (tmp_path / "out/case_1_seg.nii.gz").is_file()
    assert not list((tmp_path / "empty").iterdir())
