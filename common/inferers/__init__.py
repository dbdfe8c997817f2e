"""Few-shot inference: slice by slice for 2D networks, window by window for 3D ones."""

from .slices import FewShotInferer
from .volumes import FewShotVolumeInferer

__all__ = ["FewShotInferer", "FewShotVolumeInferer"]
