"""Short-axis hearts in a chest: two ventricles, lungs, ribs, spine and the liver's dome."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas

LABELS = {"background": 0, "left ventricle": 1, "myocardium": 2, "right ventricle": 3, "liver": 4}

# Balanced steady-state cine: blood is bright, muscle is dark.
TISSUES = {
    "skin": 260, "fat": 420, "muscle": 130, "lung": 35, "bone": 90, "cavity": 160, "blood": 480, "myocardium": 150,
    "liver": 210, "stomach": 300, "scar": 260, "fluid": 560,
}  # fmt: skip


def draw_heart(canvas: Canvas) -> None:
    """Paint a chest whose slices cut the heart across, with the values of ``LABELS``, in the tissues of ``TISSUES``."""
    generator, x, y, z = canvas.generator, canvas.x, canvas.y, canvas.z
    radius = (np.abs(x / 150) ** 2.4 + np.abs(y / 105) ** 2.4) ** (1 / 2.4)
    rim = generator.uniform(0.06, 0.14) + 0.012 * canvas.noise(40)
    grain = canvas.noise(5)
    canvas.body = radius < 1
    canvas.paint(canvas.body, "fat", 0.15 * grain + 0.1 * canvas.noise(25))
    canvas.paint((radius < 1) & (radius > 0.975), "skin")
    canvas.paint(radius < 1 - rim, "muscle", 0.1 * grain)
    ribs = np.cos(12 * np.arctan2(y, x) + z / 11 + generator.uniform(0, 6)) > 0.5
    canvas.paint((np.abs(radius - 0.86 + rim) < 0.03) & ribs, "bone", 0.1 * grain)
    chest = radius < 0.84 - rim
    canvas.paint(chest, "lung", 0.5 * np.abs(canvas.noise(7)))
    middle = canvas.ellipsoid((0, 5, 0), (38, 80, 900.0), jitter=4) + 0.06 * canvas.noise(25)
    canvas.paint(chest & (middle < 1), "cavity", 0.25 * canvas.noise(14))
    dome = canvas.ellipsoid((55, 0, -75), (95, 85, 78), jitter=8) + 0.04 * canvas.noise(25)
    canvas.paint(chest & (dome < 1), "liver", 0.06 * canvas.noise(6), LABELS["liver"])
    stomach = canvas.ellipsoid((-60, -10, -78), (45, 50, 52), jitter=8)
    canvas.paint(chest & (stomach < 1), "stomach", 0.3 * canvas.noise(20))
    spine = canvas.ellipsoid((0, -62, 0), (22, 19, 900.0), jitter=3)
    canvas.paint(spine < 1, "bone", 0.15 * grain + 0.4)
    canvas.paint(canvas.ellipsoid((-24, -46, 0), (12, 12, 900.0), jitter=3) < 1, "blood", 0.08 * grain)
    _draw_ventricles(canvas)


def _draw_ventricles(canvas: Canvas) -> None:
    """A ring of muscle around blood, tapering to the apex, and a crescent beside it."""
    generator = canvas.generator
    place = (-38 + generator.normal(0, 8), 22 + generator.normal(0, 8), generator.normal(0, 6))
    wide, wall = generator.uniform(24, 33), generator.uniform(8, 13)
    lean = generator.uniform(-0.3, 0.1)
    rough = canvas.noise(12)
    outer = canvas.ellipsoid(place, (wide + wall, wide + wall, 62), lean=lean, jitter=0) + 0.04 * rough
    inner = canvas.ellipsoid(place, (wide, wide, 54), lean=lean, jitter=0) + 0.05 * rough
    side = (place[0] + wide + generator.uniform(4, 14), place[1] + generator.uniform(2, 14), place[2])
    right = canvas.ellipsoid(side, (wide + 14, wide + 8, 58), turn=25, lean=lean, jitter=2) + 0.05 * canvas.noise(14)
    canvas.paint((outer < 1.12) | (right < 1.15), "fat", 0.2 * canvas.noise(8))
    canvas.paint(right < 1.09, "myocardium", 0.1 * canvas.noise(5))
    canvas.paint(right < 1, "blood", 0.12 * canvas.noise(12), LABELS["right ventricle"])
    canvas.paint(outer < 1, "myocardium", 0.08 * canvas.noise(5), LABELS["myocardium"])
    canvas.paint((outer < 1) & (canvas.noise(18) > 1.6), "scar", 0.1 * canvas.noise(6), LABELS["myocardium"])
    canvas.paint(inner < 1, "blood", 0.08 * canvas.noise(12), LABELS["left ventricle"])
    papillary = (inner < 0.75) & (inner > 0.4) & (canvas.noise(9) > 1.3)
    canvas.paint(papillary, "myocardium", 0.05, LABELS["left ventricle"])
