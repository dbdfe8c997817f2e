"""Tiny scans and the settings that go with them."""

import nibabel as nib
import numpy as np

AFFINE = np.diag([-2.0, 2.0, 6.0, 1.0])
# Overrides that fit the tiny scans, for every configuration of the ADNet bundle.
SMALL = {"encoder_depth": 18, "encoder_stages": 2, "image_size": 64, "spacing": [2.0, 2.0, 6.0]}
SMALL_TRAINING = {**SMALL, "init": "none", "supervoxel_min_size": 200, "min_area": 20, "num_workers": 1}


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
