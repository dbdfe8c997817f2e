"""Tiny scans and, for every bundle, the settings that go with them."""

import nibabel as nib
import numpy as np

AFFINE = np.diag([-2.0, 2.0, 6.0, 1.0])
# Overrides for every configuration of a bundle, and those for training alone.
_PLANE = {"image_size": 64, "spacing": [2.0, 2.0, 6.0]}
_RESNET = {**_PLANE, "encoder_depth": 18, "encoder_stages": 2}
SMALL = {
    "adnet": _RESNET,
    "alpnet3d": {
        **_PLANE,
        "volume_size": [32, 32, 8],
        "window": [8, 8, 4],
        "encoder_channels": [8, 16, 16],
        "feature_channels": 8,
        "prototype_rule": "code",
    },
    "crapnet": {**_RESNET, "feature_channels": 32, "inner_channels": 16, "blocks": 2},
    "lsnet": {**_PLANE, "encoder_depth": 18, "feature_channels": 32, "grid_fraction": 0.5},
    "ssl_alpnet": _RESNET,
}
# ADNet in 3D, on top of its own.
SMALL_3D = {"encoder_layers": [1, 1, 1, 1], "encoder_width": 4, "encoder_cardinality": 8, "patch_size": [64, 64, 6]}
_SUPERPIXELS = {"init": "none", "superpixel_min_size": 40, "num_workers": 1}
_TRAINING = {
    "adnet": {"init": "none", "supervoxel_min_size": 200, "min_area": 20, "num_workers": 1},
    "alpnet3d": {"supervoxel_segments": 20, "learning_rate": 0.01, "num_workers": 1},
    "crapnet": _SUPERPIXELS,
    "lsnet": {"init": "none", "fold_organs": [1, 4], "test_organs": [4], "batch_size": 1, "num_workers": 1},
    "ssl_alpnet": _SUPERPIXELS,
}
SMALL_TRAINING = {bundle: {**SMALL[bundle], **settings} for bundle, settings in _TRAINING.items()}
# Label values that a bundle segments when evaluated, and under which protocols.
TEST_ORGANS = {bundle: [4] if bundle == "lsnet" else [1, 4] for bundle in SMALL}
PROTOCOLS = {bundle: ["k12" if bundle == "lsnet" else "ep1", "ep2"] for bundle in SMALL}


def scan(seed, shape=(64, 60, 6)):
    """Body with two organs of their own brightness; returns image and label arrays."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    shift = rng.uniform(-0.1, 0.1, 2)
    label = np.zeros(shape, np.int16)
    label[((x - 0.4 - shift[0]) ** 2 + (y - shift[1]) ** 2 < 0.09) & (abs(z) < 0.8)] = 1
    label[((x + 0.4 + shift[0]) ** 2 + (y + shift[1]) ** 2 < 0.04) & (abs(z) < 0.5)] = 4
    image = 200.0 * (x**2 + y**2 < 0.9) + 300.0 * (label == 1) + 600.0 * (label == 4)
    return (image + rng.normal(0, 15, shape)).clip(0).astype(np.float32), label


def save(path, values, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return str(path)
