"""MONAI dictionary transforms that add supervoxels or superpixels to an item."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from monai.utils import convert_to_tensor, ensure_tuple_rep
from numpy.typing import NDArray
from skimage.segmentation import slic

from ..data.reading import file_name
from ..errors import InputError
from .foreground import foreground_mask, relabel_foreground
from .superpixels import superpixels_2d


class Supervoxelsd(MapTransform):
    """Add the supervoxels of the body: ``(1, X, Y, Z)`` int32 with the image's geometry, 0 for air, ids 1 to n.

    The image ``(1, X, Y, Z)``, slice axis last, is rescaled to 0..255 by its own extrema, partitioned, and cut to the
    body (ADNet, section 3.1 and released code). Sizes are enforced before the cut, so a supervoxel can end smaller.

    Args:
        keys: images.
        output_key: where the supervoxels go; one for each key.
        method: ``felzenszwalb`` (ADNet) or ``slic`` (3D ALPNet).
        min_size: felzenszwalb: smallest supervoxel in voxels; ADNet takes 5000 on CHAOS, 1000 on cardiac MR.
        scale: felzenszwalb: joins in the first pass, see ``graph.felzenszwalb_3d``.
        sigma: felzenszwalb: smoothing in mm.
        foreground_threshold: what is not air, on the scale 0..255.
        n_segments: slic: number of supervoxels requested. The paper of 3D ALPNet asks for 10, which is coarser than a
            kidney; about 100 separate the organs.
        compactness: slic: weight of distance against intensity; scikit-image's 10 gives plain blocks here.

    Raises:
        InputError: unknown ``method``.
        InputError: on an item, naming the file: no foreground, constant or non-finite intensities, another shape.
    """

    algorithm_version: int = 1

    def __init__(
        self,
        keys: KeysCollection = "image",
        output_key: KeysCollection = "supervoxels",
        method: str = "felzenszwalb",
        min_size: int = 5000,
        scale: float = 1.0,
        sigma: float = 0.0,
        foreground_threshold: float = 10.0,
        n_segments: int = 10,
        compactness: float = 0.1,
    ) -> None:
        super().__init__(keys)
        if method not in ("felzenszwalb", "slic"):
            raise InputError(f"Supervoxelsd has method felzenszwalb or slic, got {method}")
        self.output_keys = ensure_tuple_rep(output_key, len(self.keys))
        self.method = method
        self.min_size = min_size
        self.scale = scale
        self.sigma = sigma
        self.foreground_threshold = foreground_threshold
        self.n_segments = n_segments
        self.compactness = compactness

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, output_key in self.key_iterator(item, self.output_keys):
            image, volume, low, high = _read(item[key])
            if low == high:
                raise InputError(f"{file_name(image)}: every voxel has the value {low:g}; leave this image out")
            volume = 255 * (volume - low) / (high - low)
            mask = _body(image, volume, self.foreground_threshold, "on the scale 0..255")
            # Rounded, so that float32 noise in stored affines (7.7000003 mm) does not decide near-ties.
            spacing = np.round(affine_to_spacing(image.affine.numpy(force=True), r=3), 4).tolist()
            labels = self._partition(volume.transpose(2, 1, 0), spacing[::-1]).transpose(2, 1, 0)
            item[output_key] = _like(image, relabel_foreground(labels, mask))
        return item

    def _partition(self, volume: NDArray[np.float64], spacing: list[float]) -> NDArray[np.int32]:
        if self.method == "slic":
            return slic(volume, self.n_segments, self.compactness, spacing=spacing, start_label=0, channel_axis=None)
        from .graph import felzenszwalb_3d  # numba: not needed, and not imported, where nothing is trained

        return felzenszwalb_3d(volume, self.scale, self.sigma, self.min_size, spacing)


class Superpixelsd(MapTransform):
    """Add the superpixels of the body: ``(1, X, Y, Z)`` int32 with the image's geometry, 0 for air, ids 1 to n.

    Each slice of the image ``(1, X, Y, Z)``, slice axis last, is partitioned on its preprocessed intensities, before
    any normalisation, and cut to the body; no id is in two slices (released ALPNet code).

    Args:
        keys: images.
        output_key: where the superpixels go; one for each key.
        min_size: smallest superpixel in pixels, before the cut.
        sigma: smoothing in pixels.
        scale: larger gives larger superpixels.
        foreground_threshold: what is not air, in the image's intensities; ALPNet takes 1e-4 for CT, 50.0001 for CHAOS.

    Raises:
        InputError: on an item, naming the file: no foreground, non-finite intensities, another shape.
    """

    algorithm_version: int = 1

    def __init__(
        self,
        keys: KeysCollection = "image",
        output_key: KeysCollection = "superpixels",
        min_size: int = 400,
        sigma: float = 1.0,
        scale: float = 1.0,
        foreground_threshold: float = 1e-4,
    ) -> None:
        super().__init__(keys)
        self.output_keys = ensure_tuple_rep(output_key, len(self.keys))
        self.min_size = min_size
        self.sigma = sigma
        self.scale = scale
        self.foreground_threshold = foreground_threshold

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key, output_key in self.key_iterator(item, self.output_keys):
            image, volume, _, _ = _read(item[key])
            mask = _body(image, volume, self.foreground_threshold, "in the image's intensities")
            labels = superpixels_2d(volume, self.min_size, self.sigma, self.scale)
            item[output_key] = _like(image, relabel_foreground(labels, mask))
        return item


def _read(image: Any) -> tuple[MetaTensor, NDArray[np.float64], float, float]:
    """Give the image as a MetaTensor, its volume ``(X, Y, Z)``, and the least and greatest intensity."""
    image = convert_to_tensor(image, track_meta=True)
    if image.ndim != 4 or image.shape[0] != 1:
        raise InputError(f"{file_name(image)}: need one channel and three axes (1, X, Y, Z), got {tuple(image.shape)}")
    volume = image[0].numpy(force=True).astype(np.float64)
    low, high = float(volume.min()), float(volume.max())
    if not np.isfinite(high - low):
        raise InputError(f"{file_name(image)}: intensities from {low} to {high}; replace NaN and infinity")
    return image, volume, low, high


def _body(image: MetaTensor, volume: NDArray[np.float64], threshold: float, scale: str) -> NDArray[np.bool_]:
    mask = foreground_mask(volume, threshold)
    if not mask.any():
        raise InputError(
            f"{file_name(image)}: no voxel above foreground_threshold {threshold:g} {scale}, "
            f"the greatest is {volume.max():g}; lower the threshold or leave this image out"
        )
    return mask


def _like(image: MetaTensor, ids: NDArray[np.int32]) -> MetaTensor:
    return MetaTensor(torch.from_numpy(ids)[None]).copy_meta_from(image)
