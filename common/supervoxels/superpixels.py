"""2D Felzenszwalb superpixels, slice by slice (SSL-ALPNet)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb


def superpixels_2d(volume: NDArray, min_size: int = 400, sigma: float = 1.0, scale: float = 1.0) -> NDArray[np.int32]:
    """Partition each slice of a volume with scikit-image's Felzenszwalb segmentation.

    The defaults are those of the released ALPNet code, meant for intensities that are not normalised.

    Args:
        volume: ``(X, Y, Z)`` with the slice axis last, preprocessed intensities.
        min_size: smallest superpixel in pixels.
        sigma: width of the Gaussian applied first, in pixels.
        scale: larger gives larger superpixels.

    Returns:
        Labels ``(X, Y, Z)`` from 0; no two slices share one.
    """
    labels = np.empty(volume.shape, np.int32)
    offset = 0
    for index in range(volume.shape[2]):
        # Floats, because integers would be rescaled to [0, 1].
        image = np.asarray(volume[:, :, index], np.float64)
        labels[:, :, index] = felzenszwalb(image, scale, sigma, min_size, channel_axis=None) + offset
        offset = int(labels[:, :, index].max()) + 1
    return labels
