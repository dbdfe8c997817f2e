"""What a scanner makes of a drawing: partial volume, bias field, ghosts, noise, in MR or in Hounsfield units."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from .canvas import Canvas, Volume


def acquire(canvas: Canvas) -> Volume:
    """Blur, modulate and disturb a drawing, each by its own random strength.

    Args:
        canvas: with everything painted.

    Returns:
        ``(X, Y, Z)`` MR-like intensities, not negative.
    """
    generator = canvas.generator
    in_plane = generator.uniform(0.4, 1.1)
    signal = gaussian_filter(canvas.signal(), (in_plane, in_plane, generator.uniform(0.1, 0.5)))
    level = float(np.median(signal[canvas.body]))
    signal *= np.exp(generator.uniform(0.02, 0.3) * canvas.noise(generator.uniform(70, 160)))
    if generator.random() < 0.3:  # the body again, faintly, along the direction of phase encoding
        axis, shift = int(generator.integers(2)), int(generator.integers(8, 50))
        signal += generator.uniform(0.01, 0.06) * np.roll(signal, shift, axis)
    return add_rician_noise(signal, level * generator.uniform(0.01, 0.12), generator)


def acquire_ct(canvas: Canvas) -> Volume:
    """Blur a drawing and add the noise of CT.

    Args:
        canvas: with everything painted, its tissues in HU + 1024.

    Returns:
        ``(X, Y, Z)`` in HU; air is -1024.
    """
    generator = canvas.generator
    signal = gaussian_filter(canvas.signal(), (0.6, 0.6, generator.uniform(0.05, 0.3)))
    noise = generator.standard_normal(signal.shape, dtype=np.float32)
    signal += gaussian_filter(noise, (0.7, 0.7, 0)) * generator.uniform(8, 45)
    return np.maximum(signal, 0) - 1024


def add_rician_noise(signal: Volume, deviation: float, generator: np.random.Generator) -> Volume:
    """Take the magnitude of a signal with noise in its real and its imaginary part, as MR stores it.

    Args:
        signal: ``(X, Y, Z)``.
        deviation: of the noise in each part, in the signal's unit.
        generator: source of the noise.

    Returns:
        ``(X, Y, Z)``, not negative.
    """
    real, imaginary = generator.standard_normal((2, *signal.shape), dtype=np.float32) * deviation
    magnitude: Volume = np.hypot(signal + real, imaginary)
    return magnitude
