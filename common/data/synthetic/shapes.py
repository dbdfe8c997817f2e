"""Bodies of random shapes that look like no anatomy: breadth for what no other family draws."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas

_TISSUES = 24
TISSUES = {f"tissue {number}": 300.0 for number in range(_TISSUES)}


def draw_shapes(canvas: Canvas) -> None:
    """Paint regions that meet as soap bubbles do, and ellipsoids on them, each of its own intensity and label."""
    generator = canvas.generator
    wide, deep = generator.uniform(70, 160), generator.uniform(70, 115)
    power = generator.uniform(1.8, 3.0)
    radius = (np.abs(canvas.x / wide) ** power + np.abs(canvas.y / deep) ** power) ** (1 / power)
    canvas.body = radius + 0.06 * canvas.noise(40) < 1
    names = iter(TISSUES)
    scale = generator.uniform(18, 45)
    level = np.full(canvas.x.shape, -np.inf, np.float32)
    region = np.zeros(canvas.x.shape, np.uint8)
    count = int(generator.integers(5, 12))
    for number in range(count):  # the highest of several smooth fields wins
        field = canvas.noise(scale)
        region[field > level] = number
        np.maximum(level, field, out=level)
    for number in range(count):
        texture = generator.uniform(0, 0.2) * canvas.noise(generator.uniform(4, 15))
        canvas.paint(canvas.body & (region == number), next(names), texture, 1 + number)
    for number in range(count, count + int(generator.integers(3, 12))):
        centre = (generator.uniform(-0.7, 0.7) * wide, generator.uniform(-0.7, 0.7) * deep, generator.uniform(-60, 60))
        radii = tuple(generator.uniform(9, 50, 3))
        blob = canvas.ellipsoid(centre, radii, turn=generator.uniform(0, 180))
        blob += generator.uniform(0, 0.15) * canvas.noise(15)
        texture = generator.uniform(0, 0.15) * canvas.noise(generator.uniform(4, 12))
        canvas.paint(canvas.body & (blob < 1), next(names), texture, 1 + number)
    if generator.random() < 0.7:
        rim = canvas.body & (radius > generator.uniform(0.85, 0.97))
        canvas.paint(rim, next(names), 0.1 * canvas.noise(10))
