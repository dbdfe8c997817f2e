"""Heads, pelvises and thighs in a simple form."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas

# T1: fat and white matter are bright, water is dark.
TISSUES = {
    "skin": 330, "fat": 560, "muscle": 240, "bone": 60, "marrow": 480, "white": 420, "grey": 310, "fluid": 110,
    "vessel": 150, "bladder": 120, "organ": 270, "gas": 20,
}  # fmt: skip


def draw_head(canvas: Canvas) -> None:
    """Paint a head: scalp, skull, folded grey matter (1) around white matter (2), ventricles (3), deep nuclei (4)."""
    x, y, z = canvas.x, canvas.y, canvas.z
    radius = np.sqrt((x / 78) ** 2 + (y / 98) ** 2 + (z / 105) ** 2) + 0.015 * canvas.noise(40)
    grain = canvas.noise(4)
    canvas.body = (radius < 1) | ((np.hypot(x / 60, (y + 10) / 65) < 1) & (z < 0))
    canvas.paint(canvas.body, "fat", 0.2 * canvas.noise(10))
    canvas.paint(canvas.body & (z < -40), "muscle", 0.3 * canvas.noise(10))
    canvas.paint(canvas.body & (radius > 0.97) & (z > -40), "skin", 0.05 * grain)
    inside = radius < 0.92
    canvas.paint(inside, "bone", 0.2 * grain)
    canvas.paint((radius < 0.9) & (radius > 0.87), "marrow", 0.1 * grain)
    canvas.paint(radius < 0.85, "fluid", 0.05 * grain)
    brain = (radius + 0.05 * np.abs(canvas.noise(9)) < 0.85) & (np.abs(x + 1.5 * canvas.noise(20)) > 1.2)
    canvas.paint(brain, "grey", 0.05 * grain, 1)
    canvas.paint(brain & (radius + 0.12 * np.abs(canvas.noise(13)) < 0.76), "white", 0.04 * grain, 2)
    for side in (1, -1):
        nuclei = canvas.ellipsoid((side * 22, 2, 0), (12, 22, 16), turn=12 * side)
        canvas.paint(nuclei < 1, "grey", 0.05 * grain, 4)
        ventricle = canvas.ellipsoid((side * 10, 5, 12), (6, 32, 16), turn=8 * side) + 0.1 * canvas.noise(12)
        canvas.paint(ventricle < 1, "fluid", 0.05 * grain, 3)
        eye = canvas.ellipsoid((side * 32, 78, -38), (13, 13, 13))
        canvas.paint(eye < 1, "fluid", 0.05)
    cerebellum = canvas.ellipsoid((0, -52, -48), (48, 30, 26)) + 0.08 * canvas.noise(7)
    canvas.paint(cerebellum < 1, "grey", 0.2 * canvas.noise(3), 1)


def draw_pelvis(canvas: Canvas) -> None:
    """Paint a pelvis: hips and femoral heads (1), bladder (2), an organ behind it (3), rectum, muscles, fat."""
    generator, x, y = canvas.generator, canvas.x, canvas.y
    radius = (np.abs(x / 165) ** 2.4 + np.abs(y / 108) ** 2.4) ** (1 / 2.4)
    grain = canvas.noise(5)
    rim = generator.uniform(0.1, 0.2) + 0.02 * canvas.noise(35)
    canvas.body = radius < 1
    canvas.paint(canvas.body, "fat", 0.15 * canvas.noise(20) + 0.08 * grain)
    canvas.paint((radius < 1) & (radius > 0.98), "skin")
    canvas.paint(radius < 1 - rim, "muscle", 0.1 * grain)
    canvas.paint((radius < 1 - rim) & (np.abs(canvas.noise(18)) < 0.12), "fat")
    canvas.paint(canvas.ellipsoid((0, 5, 0), (58, 62, 900.0)) < 1, "fat", 0.2 * canvas.noise(14))
    for side in (1, -1):
        wing = canvas.ellipsoid((side * 82, 2, 35), (16, 52, 60), turn=-30 * side, lean=0.3 * side)
        head = canvas.ellipsoid((side * 92, 0, -40), (25, 25, 30))
        for bone in (wing, head):
            canvas.paint(bone < 1.12, "bone")
            canvas.paint(bone < 1, "marrow", 0.1 * grain, 1)
    canvas.paint(canvas.ellipsoid((0, -70, 30), (38, 20, 55)) < 1, "marrow", 0.15 * grain, 1)
    bladder = canvas.ellipsoid((0, 28, -15), (38, 30, 32), jitter=6) + 0.05 * canvas.noise(20)
    canvas.paint(bladder < 1.1, "muscle", 0.05 * grain)
    canvas.paint(bladder < 1, "bladder", 0.04 * grain, 2)
    organ = canvas.ellipsoid((0, -8, -20), (27, 20, 26), jitter=5) + 0.08 * canvas.noise(12)
    canvas.paint(organ < 1, "organ", 0.15 * canvas.noise(8), 3)
    rectum = canvas.ellipsoid((0, -42, -10), (17, 16, 900.0), jitter=5)
    canvas.paint(rectum < 1.2, "muscle")
    canvas.paint(rectum < 1, "gas", 0.5 * canvas.noise(8) + 0.5)


def draw_thighs(canvas: Canvas) -> None:
    """Paint two thighs: femurs (1), four groups of muscles each (2 to 5) with fat between, vessels."""
    grain = canvas.noise(5)
    for side in (1, -1):
        limb = canvas.ellipsoid((side * 84, 0, 0), (76, 80, 900.0), lean=0.1 * side) + 0.03 * canvas.noise(30)
        muscle = canvas.ellipsoid((side * 84, 0, 0), (60, 64, 900.0), lean=0.1 * side) + 0.04 * canvas.noise(25)
        canvas.body |= limb < 1
        canvas.paint(limb < 1, "skin")
        canvas.paint(limb < 0.97, "fat", 0.1 * grain)
        turn = np.arctan2(canvas.y, canvas.x - side * 84) + 0.35 * canvas.noise(30) + np.pi
        group = np.minimum((turn / (np.pi / 2)).astype(int), 3)
        for number in range(4):
            part = (muscle < 1) & (group == number)
            canvas.paint(part, "muscle", 0.1 * grain + canvas.generator.normal(0, 0.12), 2 + number)
        canvas.paint((muscle < 1) & (np.abs(canvas.noise(20)) < 0.1), "fat")
        femur = canvas.ellipsoid((side * 82, 8, 0), (17, 17, 900.0), lean=0.1 * side)
        canvas.paint(femur < 1, "bone")
        canvas.paint(femur < 0.65, "marrow", 0.08 * grain)
        canvas.label[femur < 1] = 1
        vessel = canvas.ellipsoid((side * 60, 15, 0), (6, 6, 900.0), jitter=5)
        canvas.paint(vessel < 1, "vessel")
