"""Abdomens: the subjects of the built-in phantom, and the same anatomy in other contrasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.ndimage import label as connected_components

from .acquisition import add_rician_noise
from .canvas import Canvas, Mask

LABELS = {"background": 0, "liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}

SLICE_SPACING = 7.7
PIXELS = 176
NOISE = 14.0

# Mean intensity of every tissue (fat-suppressed T2) before the subject's own contrast. Spleen, kidneys, stomach and
# bowel overlap on purpose, and so do liver, pancreas and bowel: intensity alone must not solve the task.
TISSUES = {
    "fat": 70, "skin": 150, "muscle": 175, "cavity": 105, "lung": 30, "bone": 215, "disc": 320, "fluid": 700,
    "liver": 300, "spleen": 450, "cortex": 620, "medulla": 540, "sinus": 190, "vessel": 90, "vein": 360,
    "pancreas": 330, "stomach": 240, "bowel": 180, "heart": 220,
}  # fmt: skip


@dataclass(frozen=True)
class Drawing:
    """One subject on its own grid, stored Left, Anterior, Superior.

    Attributes:
        image: ``(X, Y, Z)`` int16 MR-like intensities.
        label: ``(X, Y, Z)`` uint8 values of ``LABELS``.
        affine: ``(4, 4)`` voxel index to world millimetres (RAS+).
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]


def draw_subject(generator: np.random.Generator) -> Drawing:
    """Draw one subject with its own shape, positions, contrast, texture, bias field and Rician noise.

    Args:
        generator: source of every random draw; the same state gives the same voxels.

    Returns:
        Image and label of 176 x 176 x 22..26 voxels, about 1.9 x 1.9 x 7.7 mm.
    """
    spacing = float(generator.uniform(1.84, 1.98))
    canvas = Canvas(generator, PIXELS, int(generator.integers(22, 27)), spacing, SLICE_SPACING, TISSUES)
    draw_abdomen(canvas)
    return Drawing(_acquire(canvas), canvas.labels(), _affine(canvas, generator))


def draw_abdomen(canvas: Canvas) -> None:
    """Paint an abdomen, with the values of ``LABELS``, in tissues named as in ``TISSUES``."""
    cavity = _draw_trunk(canvas)
    _draw_bowel(canvas, cavity)
    _draw_midline(canvas)
    _draw_spleen_and_stomach(canvas, cavity)
    _draw_kidneys(canvas)
    _draw_liver(canvas, cavity)


def _draw_trunk(canvas: Canvas) -> Mask:
    """Skin, fat rim, muscular wall with ribs, cavity, lungs and heart."""
    generator = canvas.generator
    x, y, z = canvas.x, canvas.y, canvas.z
    radius = (np.abs(x / 146) ** 2.3 + np.abs(y / 102) ** 2.3) ** (1 / 2.3)
    rim = generator.uniform(0.07, 0.14) + 0.015 * canvas.noise(40)
    wall = rim + 0.08 + 0.01 * canvas.noise(30)
    grain = canvas.noise(5)
    canvas.body = radius < 1
    cavity = radius < 1 - wall
    canvas.paint(radius < 1, "skin")
    canvas.paint(radius < 0.975, "fat", 0.15 * grain + 0.2 * canvas.noise(25))
    canvas.paint(radius < 1 - rim, "muscle", 0.10 * grain)
    ribs = np.cos(14 * np.arctan2(y, x) + z / 9 + generator.uniform(0, 6)) > 0.45
    canvas.paint((np.abs(radius - 1 + wall - 0.03) < 0.025) & ribs & (z > -45), "bone", 0.1 * grain - 0.5)
    canvas.paint(cavity, "cavity", 0.25 * canvas.noise(12) + 0.1 * grain)
    lung = cavity & (z > 62 + 0.15 * y - 0.0015 * x**2 + 4 * canvas.noise(40))
    canvas.paint(lung, "lung", 0.5 * np.abs(canvas.noise(6)))
    heart = canvas.ellipsoid((-18, 28, 108), (52, 44, 42), turn=-30)
    canvas.paint(lung & (heart < 1), "heart", 0.3 * canvas.noise(14))
    return cavity


def _draw_bowel(canvas: Canvas, cavity: Mask) -> None:
    """Colon, small-bowel loops and gallbladder-like fluid: distractors with any organ's intensity."""
    lower = cavity & (canvas.y > -25 + 8 * canvas.noise(30)) & (canvas.z < 18 + 10 * canvas.noise(35))
    content = 0.5 * np.tanh(1.5 * canvas.noise(20)) + 0.1 * canvas.noise(5)
    walls = np.abs(canvas.noise(12))
    canvas.paint(lower & (walls > 0.3), "bowel", content)
    canvas.paint(lower & (walls > 0.16) & (walls <= 0.3), "muscle", 0.1)
    for side in (1, -1):
        colon = canvas.ellipsoid((side * 103, 5, -62), (19, 23, 60), jitter=5)
        canvas.paint(cavity & (colon < 1.12), "muscle")
        canvas.paint(cavity & (colon < 1), "bowel", canvas.generator.uniform(-0.5, 0.3) + 0.12 * canvas.noise(8))
    pancreas = canvas.ellipsoid((-15, 10, 0), (58, 11, 14), turn=-18, jitter=4)
    canvas.paint(cavity & (pancreas + 0.12 * canvas.noise(10) < 1), "pancreas", 0.12 * canvas.noise(6))


def _draw_midline(canvas: Canvas) -> None:
    """Spine with discs and canal, paraspinal and psoas muscles, aorta and inferior vena cava."""
    generator = canvas.generator
    z = canvas.z
    everywhere = 900.0
    grain = canvas.noise(5)
    for side in (1, -1):
        canvas.paint(canvas.ellipsoid((side * 34, -72, 0), (30, 19, everywhere), jitter=2) < 1, "muscle", 0.1 * grain)
        psoas = canvas.ellipsoid((side * 33, -42, -75), (17, 18, 70), lean=-0.12 * side, jitter=2)
        canvas.paint(psoas < 1, "muscle", 0.1 * grain)
    vertebra = canvas.ellipsoid((0, -44, 0), (22, 17, everywhere), jitter=1.5)
    disc = np.cos(2 * np.pi * z / 34 + generator.uniform(0, 6)) > 0.8
    canvas.paint(vertebra < 1.1, "vessel")
    canvas.paint(vertebra < 1, "bone", 0.12 * grain)
    canvas.paint((vertebra < 1) & disc, "disc", 0.1 * grain)
    arch = canvas.ellipsoid((0, -74, 0), (17, 15, everywhere), jitter=1)
    canvas.paint(arch < 1, "bone", -0.4)
    canvas.paint(canvas.ellipsoid((0, -70, 0), (9, 8, everywhere), jitter=1) < 1, "fluid", -0.05)
    canvas.paint(canvas.ellipsoid((-9, -17, 0), (10, 10, everywhere), jitter=2) < 1, "vessel", 0.15 * grain)
    canvas.paint(canvas.ellipsoid((21, -15, 0), (12, 10, everywhere), jitter=2) < 1, "vein", 0.1 * grain)


def _draw_spleen_and_stomach(canvas: Canvas, cavity: Mask) -> None:
    """Stomach, then the spleen as an ellipsoid hollowed on the stomach's side."""
    stomach = canvas.ellipsoid((-52, 34, 36), (44, 32, 36), turn=20, jitter=5) + 0.07 * canvas.noise(20)
    canvas.paint(cavity & (stomach < 1.08), "muscle", 0.1)
    canvas.paint(cavity & (stomach < 1), "stomach", 0.25 * canvas.noise(22) + 0.06 * canvas.noise(5))
    spleen = canvas.ellipsoid((-94, -30, 34), (33, 52, 50), turn=12, jitter=4) + 0.05 * canvas.noise(16)
    hollow = canvas.ellipsoid((-60, 0, 30), (27, 32, 42), jitter=2)
    texture = 0.05 * canvas.noise(8) + 0.04 * canvas.noise(4)
    canvas.paint(cavity & (spleen < 1) & (hollow > 1), "spleen", texture, LABELS["spleen"])


def _draw_kidneys(canvas: Canvas) -> None:
    """Kidneys: bright cortex, darker pyramids, sinus open towards the spine; the right one lower."""
    for side, name, height in ((1, "right kidney", -30), (-1, "left kidney", -18)):
        kidney = canvas.ellipsoid((side * 66, -43, height), (31, 26, 55), turn=-25 * side, lean=-0.15 * side)
        sinus = canvas.ellipsoid((side * 50, -36, height), (13, 8, 20), turn=-25 * side, lean=-0.15 * side, jitter=2)
        kidney = kidney + 0.04 * canvas.noise(14)
        grain = 0.06 * canvas.noise(5)
        canvas.paint(kidney < 1.12, "cavity", grain)
        inside = kidney < 1
        canvas.paint(inside, "cortex", grain, LABELS[name])
        pyramids = inside & (kidney < 0.76) & (canvas.noise(9) > -0.2)
        canvas.paint(pyramids, "medulla", grain, LABELS[name])
        canvas.paint(inside & (sinus < 1), "sinus", 0.4 * canvas.noise(8))


def _draw_liver(canvas: Canvas, cavity: Mask) -> None:
    """Liver: right and left lobe with a network of bright vessels; gallbladder at its lower edge."""
    right = canvas.ellipsoid((74, 4, 22), (66, 82, 72), jitter=4)
    left = canvas.ellipsoid((10, 48, 38), (72, 32, 31), turn=-8, jitter=5)
    level = np.minimum(right, left) + 0.05 * canvas.noise(22)
    free = (canvas.label == 0) & cavity & (canvas.y > -62)
    spine = canvas.ellipsoid((2, -34, 0), (40, 32, 900.0), jitter=1)
    pieces, _ = connected_components(free & (level < 1) & (spine > 1))
    liver = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    vessels = np.hypot(canvas.noise(22), canvas.noise(22)) < 0.2
    texture = 0.06 * canvas.noise(7) + 0.05 * canvas.noise(4)
    canvas.paint(liver, "liver", texture, LABELS["liver"])
    canvas.paint(liver & vessels, "vein", 0.1, LABELS["liver"])
    gallbladder = canvas.ellipsoid((46, 44, -30), (15, 20, 22), jitter=5)
    canvas.paint(cavity & (gallbladder < 1), "fluid", 0.04 * canvas.noise(5))


def _acquire(canvas: Canvas) -> NDArray[np.int16]:
    """What the scanner would store: partial volume, coil bias field, Rician noise, integers."""
    signal = gaussian_filter(canvas.signal(), (0.7, 0.7, 0.35))
    strength = canvas.generator.uniform(0.05, 0.11)
    signal *= np.exp(strength * canvas.noise(110))
    return np.rint(add_rician_noise(signal, NOISE, canvas.generator)).astype(np.int16)


def _affine(canvas: Canvas, generator: np.random.Generator) -> NDArray[np.float64]:
    """Index to RAS+ millimetres for axes stored Left, Anterior, Superior, tilted up to two degrees as in practice."""
    tilt = np.deg2rad(generator.uniform(-2, 2))
    rotation = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag([-canvas.spacing, canvas.spacing, SLICE_SPACING])
    centre = (np.array(canvas.image.shape) - 1) / 2
    affine[:3, 3] = generator.normal(0, 20, 3) - affine[:3, :3] @ centre
    return affine
