"""Pseudo-labels without annotation: 3D supervoxels and 2D superpixels of the body, and a picture to check them by."""

from .foreground import foreground_mask, relabel_foreground
from .transforms import Superpixelsd, Supervoxelsd

__all__ = ["Superpixelsd", "Supervoxelsd", "foreground_mask", "relabel_foreground"]
