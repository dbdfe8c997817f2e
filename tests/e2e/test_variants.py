"""Every variant of a method trains a few steps on the phantom and segments with what it trained, in subprocesses."""

import nibabel as nib
import numpy as np
import pytest

from common.configuration.workflow import config_file
from common.data.phantom import make_phantom
from tests.e2e.tiny import SMALL_3D, SMALL_TRAINING

# Bundle, overlays of train.yaml, settings of their own; inference needs to be told of neither.
COARSE = {"image_size": 96, "spacing": [3.0, 3.0, 7.7]}
ORGANS = {"fold_organs": [1, 2, 3], "test_organs": [2, 3]}
VARIANTS = {
    "adnet_3d": ("adnet", ["train_3d"], SMALL_3D),
    "adnet_3d_one_slice": ("adnet", ["train_3d", "slices_one"], {**SMALL_3D, "support_slices": "one"}),
    "adnet_pssl": ("adnet", ["pssl"], {"superpixel_min_size": 40}),
    "alpnet3d_finetune": ("alpnet3d", ["finetune"], {"number_annotated": 3}),
    "lsnet_train_ssl": ("lsnet", ["train_ssl"], {"supervoxel_min_size": 500, "train#dataloader#pairs#min_area": 50}),
    "lsnet_added_classes": ("lsnet", [], {**ORGANS, "added_classes": [4]}),
    "ssl_panet": ("ssl_alpnet", ["panet"], {}),
    "supervised_alpnet": ("ssl_alpnet", ["train_supervised"], {}),
    "supervised_panet": ("ssl_alpnet", ["train_supervised", "panet"], {}),
    "vssl_alpnet": ("ssl_alpnet", ["vssl"], {"supervoxel_min_size": 500, "min_area": 50}),
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_trains_and_segments(variant, run_bundle, options, tmp_path):
    bundle, training, own = VARIANTS[variant]
    phantom = make_phantom()
    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    settings = {**SMALL_TRAINING[bundle], **COARSE, **own}
    steps = {"batch_size": 1, "episodes_per_epoch": 20, "max_epochs": 1, "val_interval": 1}
    if "finetune" in training:
        first = {**steps, "episodes_per_epoch": 1, **places, "ckpt_dir": tmp_path / "first"}
        first = {**SMALL_TRAINING[bundle], **COARSE, **first}
        run_bundle("run", "training", "--config_file", _configs(bundle, ["train"]), *options(**first))
        settings["pretrained"] = tmp_path / "first/model.pt"
    configs = _configs(bundle, ["train", *training])
    run_bundle("run", "training", "--config_file", configs, *options(**{**settings, **steps, **places}))

    files = {
        "image": phantom / "imagesTr/phantom_01.nii.gz",
        "support_image": phantom / "imagesTr/phantom_03.nii.gz",
        "support_label": phantom / "labelsTr/phantom_03.nii.gz",
        "checkpoint": tmp_path / "ckpt_dir/model.pt",
    }
    configs = _configs(bundle, ["inference"])
    run_bundle("run", "--config_file", configs, *options(**files, output_dir=tmp_path / "out"))
    answer, stored = nib.load(tmp_path / "out/phantom_01_seg.nii.gz"), nib.load(files["image"])
    assert answer.shape == stored.shape and np.allclose(answer.affine, stored.affine)
    assert set(np.unique(answer.get_fdata())) <= {0, 1, 2, 3, 4}


def _configs(bundle, names):
    return str([str(config_file(f"bundles/{bundle}", name)) for name in names])
