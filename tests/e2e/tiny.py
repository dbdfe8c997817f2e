"""Tiny scans and, for every bundle, the settings that go with them, from its ``about.yaml``."""

import nibabel as nib
import numpy as np

from common.tools.crossval.published import all_abouts

AFFINE = np.diag([-2.0, 2.0, 6.0, 1.0])
ABOUT = {about["bundle"]: about for about in all_abouts()}
_TESTS = {bundle: about["tests"] for bundle, about in ABOUT.items()}
# Overrides for every configuration of a bundle, and for training.
SMALL = {bundle: tests["tiny"] for bundle, tests in _TESTS.items()}
SMALL_TRAINING = {bundle: {**tests["tiny"], **tests["training"]} for bundle, tests in _TESTS.items()}
# ADNet in 3D, on top of its own.
SMALL_3D = {"encoder_layers": [1, 1, 1, 1], "encoder_width": 4, "encoder_cardinality": 8, "patch_size": [64, 64, 6]}
# Label values that a bundle segments when evaluated, and under which protocols.
TEST_ORGANS = {bundle: tests["organs"] for bundle, tests in _TESTS.items()}
PROTOCOLS = {bundle: tests["protocols"] for bundle, tests in _TESTS.items()}
# Mean Dice that 80 episodes reach under a bundle's first protocol.
FLOORS = {bundle: tests["floor"] for bundle, tests in _TESTS.items()}
# Overlays and settings with which a bundle trains without labels, where it does not by itself.
UNLABELLED = {bundle: tests["unlabelled"] for bundle, tests in _TESTS.items() if "unlabelled" in tests}


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
