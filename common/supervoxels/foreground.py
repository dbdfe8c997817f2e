"""The body in each slice, and segment ids restricted to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def foreground_mask(volume: NDArray, threshold: float = 10.0) -> NDArray[np.bool_]:
    """Find the body slice by slice (released ADNet and ALPNet code): threshold, largest component, holes filled.

    Args:
        volume: ``(X, Y, Z)`` with the slice axis last; intensities on the scale of ``threshold``.
        threshold: intensities above it, strictly, can be body; ADNet takes 10 on a scale of 0 to 255.

    Returns:
        Mask ``(X, Y, Z)``. Components are 8-connected; a slice with nothing above the threshold is empty.
    """
    mask = np.zeros(volume.shape, bool)
    for index in range(volume.shape[2]):
        components, count = ndimage.label(volume[:, :, index] > threshold, structure=np.ones((3, 3)))
        if count > 0:
            largest = np.argmax(np.bincount(components.ravel())[1:]) + 1
            mask[:, :, index] = ndimage.binary_fill_holes(components == largest)
    return mask


def relabel_foreground(labels: NDArray, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Set segments to 0 outside a mask and number those inside 1 to n, without a gap and without losing one.

    The released codes leave holes in the numbering (ADNet) or lose the first segment (ALPNet); here label 0 is a
    segment like any other and keeps its place: ids ascend with the labels.

    Args:
        labels: integers from 0 up ``(*S)``.
        mask: ``(*S)``.

    Returns:
        Ids ``(*S)``.
    """
    ids = np.zeros(labels.shape, np.int32)
    inside = labels[mask]
    present = np.zeros(inside.max(initial=-1) + 1, bool)
    present[inside] = True
    ids[mask] = np.cumsum(present)[inside]
    return ids
