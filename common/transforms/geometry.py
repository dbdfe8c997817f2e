"""Geometry on the way to slices: slice axis last, spacing, in-plane size; all invertible."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import nibabel as nib
import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import (
    InvertibleTransform,
    MapTransform,
    Orientation,
    Resized,
    ResizeWithPadOrCrop,
    Spacingd,
    SpatialPad,
)
from monai.utils import TraceKeys
from torch import Tensor

from ..data.looks import body_mask
from ..data.reading import check_resampling

FEATURE_CELL = 32  # pixels of a cell of 4 x 4 features at stride 8, the largest that a method takes for granted


class SliceAxisd(MapTransform, InvertibleTransform):
    """Move the slice axis last, or bring volumes to a named orientation.

    Args:
        keys: keys of volumes ``(C, X, Y, Z)``.
        axcodes: orientation codes such as ``RAS`` (axial slices), or None: the stored axis with the largest spacing
            becomes the last one (ties: the third), the other axes keep order and direction. Codes alone would cut
            short-axis cardiac stacks along the wrong axis.
        allow_missing_keys: skip keys that are absent.
    """

    def __init__(self, keys: KeysCollection, axcodes: str | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.axcodes = axcodes

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Reorient each volume; the affine follows."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = Orientation(axcodes=self.axcodes or _slice_last_codes(d[key]), labels=None)(d[key])
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return each volume to its stored orientation."""
        d = dict(data)
        for key in self.key_iterator(d):
            operation = self.pop_transform(d[key], check=False)
            stored = nib.orientations.aff2axcodes(operation[TraceKeys.EXTRA_INFO]["original_affine"])
            restore = Orientation(axcodes="".join(stored), labels=None)
            with restore.trace_transform(False):
                d[key] = restore(d[key])
        return d


class SafeSpacingd(Spacingd):
    """MONAI's ``Spacingd`` on its own keys only.

    MONAI 1.6's version also updates every item whose key starts with ``<key>_`` and fails when such an item is a
    string, as ``image_path`` is in MONAI Label.
    """

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Resample the volumes under the transform's keys.

        Raises:
            InputError: a volume would get too many voxels.
        """
        volumes = {key: data[key] for key in self.keys if key in data}
        for volume in volumes.values():
            check_resampling(volume, self.spacing_transform.pixdim)
        return {**data, **super().__call__(volumes, lazy)}


class CropPadInPlaned(MapTransform, InvertibleTransform):
    """Crop or pad the first two axes about index ``n // 2``; the slice axis is left alone.

    Images are padded with their minimum, ``label`` with 0 (released ALPNet code).

    Args:
        keys: keys of volumes ``(C, X, Y, Z)``.
        size: in-plane size in pixels.
        whole: do not crop: axes beyond ``size`` are padded to a multiple of ``FEATURE_CELL`` pixels.
        allow_missing_keys: skip keys that are absent.
    """

    def __init__(
        self, keys: KeysCollection, size: tuple[int, int], whole: bool = False, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if whole:
            self.resize: InvertibleTransform = _WholePad((*size, -1))
        else:
            self.resize = ResizeWithPadOrCrop((*size, -1))
            self.resize.padder = _CentredPad((*size, -1))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Bring each volume to ``(C, *size, Z)``, or to larger slices with ``whole``."""
        d = dict(data)
        for key in self.key_iterator(d):
            value = 0.0 if key == "label" else float(d[key].min())
            d[key] = self.resize(d[key], value=value)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Undo the crop (with zeros) and the padding."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.resize.inverse(d[key])
        return d


class ScaleInPlaned(Resized):
    """MONAI's ``Resized`` to a size given for volumes of a standard size; larger slices keep that scale.

    Args:
        keys: keys of volumes ``(C, X, Y, Z)``.
        standard: in-plane size ``(X, Y)`` that becomes that of ``volume_size``.
        volume_size: voxels ``(X, Y, Z)``; Z holds for all volumes.
        options: those of ``Resized``.
    """

    def __init__(
        self, keys: KeysCollection, standard: tuple[int, int], volume_size: Sequence[int], **options: Any
    ) -> None:
        super().__init__(keys, volume_size, **options)
        self.standard = standard
        self.volume_size = tuple(volume_size)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        """Resize the volumes."""
        shape = data[self.first_key(data)].shape[1:3]
        in_plane = (round(n * v / s) for n, v, s in zip(shape, self.volume_size, self.standard, strict=False))
        self.resizer.spatial_size = (*in_plane, self.volume_size[2])
        return super().__call__(data, lazy)


class NormaliseInPlaned(MapTransform):
    """Bring intensities to a common scale, by numbers that are measured in a centred window of the slices.

    For volumes of the window's size ``z_score`` is MONAI's ``NormalizeIntensityd``. Larger ones get the numbers that
    they would have if they were cropped as in training.

    Args:
        keys: keys of volumes ``(C, X, Y, Z)``.
        size: in-plane size ``(X, Y)`` of the window.
        mean: subtracted in place of the window's own.
        std: divisor in place of the window's own.
        method: ``z_score``, or ``body_median``: ``(x - minimum) / median - 1`` with the median above the minimum of
            what is not air, which a few very bright voxels do not move.
        measured_on: key of the volume whose window gives the numbers, and which is then removed; None: each volume.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: tuple[int, int],
        mean: float | None = None,
        std: float | None = None,
        method: str = "z_score",
        measured_on: str | None = None,
    ) -> None:
        super().__init__(keys)
        self.size = size
        self.measured_on = measured_on
        self.mean = mean
        self.std = std
        self.method = method

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the volumes in float32."""
        d = dict(data)
        for key in self.key_iterator(d):
            measured = d[self.measured_on or key].as_tensor()
            x, y = (
                slice(max(n // 2 - s // 2, 0), max(n // 2 - s // 2, 0) + s)
                for n, s in zip(measured.shape[1:3], self.size, strict=True)
            )
            window = measured[:, x, y].float()
            shift, scale = window.mean(), window.std(unbiased=False)
            if self.method == "body_median":
                shift, scale = _body_median(window)
            shift = float(shift) if self.mean is None else self.mean
            scale = float(scale) if self.std is None else self.std
            d[key] = (d[key].float() - shift) / (scale or 1.0)
        if self.measured_on is not None:
            d.pop(self.measured_on)
        return d


def _body_median(window: Tensor) -> tuple[Tensor, Tensor]:
    """Give the median of the body, see ``body_mask``, and its height above the minimum."""
    median = window[body_mask(window)].median()
    return median, median - window.min()


class _CentredPad(SpatialPad):
    """Padding that maps index ``n // 2`` to ``size // 2``: an odd pixel goes in front, where MONAI puts it behind."""

    def compute_pad_width(self, spatial_shape: Any) -> tuple[tuple[int, int], ...]:
        widths = [
            max(target - size, 0) if target > 0 else 0
            for target, size in zip(self.spatial_size, spatial_shape, strict=True)
        ]
        return ((0, 0), *(((width + 1) // 2, width // 2) for width in widths))


class _WholePad(_CentredPad):
    """Padding alone: to the size, or, where an axis is longer, to the next multiple of ``FEATURE_CELL``."""

    def compute_pad_width(self, spatial_shape: Any) -> tuple[tuple[int, int], ...]:
        targets = [
            -1 if target < 0 else target if size <= target else -(-size // FEATURE_CELL) * FEATURE_CELL
            for target, size in zip(self.spatial_size, spatial_shape, strict=True)
        ]
        return _CentredPad(targets).compute_pad_width(spatial_shape)


def _slice_last_codes(volume: MetaTensor) -> str:
    codes = nib.orientations.aff2axcodes(volume.affine.numpy())
    spacing = np.round(np.asarray(volume.pixdim), 3)
    last = 2 if spacing[2] == spacing.max() else int(spacing.argmax())
    return "".join(codes[axis] for axis in range(3) if axis != last) + codes[last]
