"""The published preprocessing, on volumes ``(1, X, Y, Z)`` whose last axis is the slice axis.

Resampling is ITK's, as in the released code of SSL-ALPNet, with its output size: a border of voxels outside of the scan
is filled. MONAI's ``Spacing`` gives sizes that differ by a voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from ...data.clipped import CLIPPED
from ...data.reading import check_resampling, file_name
from ...errors import InputError
from ...transforms.geometry import CropPadInPlaned
from .base import Volumes

SIZE = 256
TOP_PERCENTILE = 99.5


def resample_size(size: int, spacing: float, new_spacing: float) -> int:
    """Number of voxels along an axis after resampling (released SSL-ALPNet code).

    Args:
        size: voxels before.
        spacing: mm before.
        new_spacing: mm after.
    """
    return int(size * spacing / new_spacing + 1)


def prepare_mr(image: MetaTensor, label: MetaTensor, spacing: tuple[float, float, float]) -> Volumes:
    """Clip the top 0.5 %, resample, and crop or pad slices to 256 x 256 (CHAOS and MS-CMRSeg as published).

    A scan that has this spacing and size is returned as it is: prepared scans stay the same when prepared again.

    Args:
        image: ``(1, X, Y, Z)``.
        label: ``(1, X, Y, Z)``, organ values.
        spacing: mm.
    """
    if image.shape[1:3] == (SIZE, SIZE) and np.allclose(spacing_of(image), spacing, atol=1e-3):
        return Volumes(as_stored(image), label, image.meta.get(CLIPPED))
    image = clip_top(as_stored(image))
    crop = CropPadInPlaned(["image", "label"], (SIZE, SIZE))
    cut = crop({"image": resample(image, spacing), "label": resample_label(label, spacing)})
    return Volumes(cut["image"], cut["label"], TOP_PERCENTILE)


def spacing_of(volume: MetaTensor) -> NDArray[np.float64]:
    """Voxel sizes ``(3,)`` in mm, rounded to a nanometre: rounding errors of the affine must not cost a voxel."""
    return np.linalg.norm(volume.affine.numpy()[:3, :3], axis=0).round(6)


def as_stored(image: MetaTensor) -> MetaTensor:
    """Turn a volume of whole numbers into int16, as scanners store them; others stay float32."""
    limits = torch.iinfo(torch.int16)
    if bool((image == image.round()).all()) and image.min() >= limits.min and image.max() <= limits.max:
        return MetaTensor(image.to(torch.int16), meta=image.meta)
    return image


def clip_top(image: MetaTensor) -> MetaTensor:
    """Clip intensities above ``TOP_PERCENTILE`` of a volume ``(1, X, Y, Z)``; whole numbers at a whole number."""
    top = float(np.percentile(image.numpy(), TOP_PERCENTILE))
    return image.clamp(max=top if image.is_floating_point() else int(top))


def resample(volume: MetaTensor, spacing: Sequence[float | None], fill: float = 0) -> MetaTensor:
    """Resample linearly, the first voxel's centre and the directions kept.

    Args:
        volume: ``(1, X, Y, Z)``, int16 or float32; int16 is cut to whole numbers again, as ITK does.
        spacing: mm for each axis; None leaves the axis alone.
        fill: value outside of the scan.

    Returns:
        ``(1, X', Y', Z')`` of the same type, sizes by ``resample_size``.

    Raises:
        InputError: too many voxels.
    """
    import itk

    check_resampling(volume, [after or 0 for after in spacing])
    old = spacing_of(volume)
    new = [float(before if after is None else after) for before, after in zip(old, spacing, strict=True)]
    size = [
        count if after is None else resample_size(count, before, after)
        for count, before, after in zip(volume.shape[1:], old, spacing, strict=True)
    ]
    # The grids share origin and directions, so neither matters.
    source = itk.image_from_array(np.ascontiguousarray(volume[0].numpy().T))
    source.SetSpacing(old.tolist())
    result = itk.resample_image_filter(source, size=size, output_spacing=new, default_pixel_value=fill)
    array = np.ascontiguousarray(itk.array_from_image(result).T)[None]
    affine = volume.affine.numpy() @ np.diag([*(np.array(new) / old), 1])
    return MetaTensor(torch.from_numpy(array), affine=torch.from_numpy(affine))


def resample_label(label: MetaTensor, spacing: Sequence[float | None]) -> MetaTensor:
    """Resample each label value as a mask, rounded; where two meet, the larger value wins (released SSL-ALPNet code).

    Args:
        label: ``(1, X, Y, Z)``, whole numbers.
        spacing: mm for each axis; None leaves the axis alone.

    Returns:
        ``(1, X', Y', Z')`` on the grid of ``resample``.
    """
    result = resample((label == 0).float(), spacing) * 0
    for value in label.unique().tolist():
        if value != 0:
            result[resample((label == value).float(), spacing).round() == 1] = value
    return result


def remap(label: MetaTensor, values: Mapping[int, int], title: str) -> MetaTensor:
    """Replace label values.

    Args:
        label: ``(1, X, Y, Z)``, whole numbers.
        values: value found to value wanted; 0 stays 0.
        title: of the challenge, for the message.

    Raises:
        InputError: the label map holds another value.
    """
    unknown = sorted(set(label.unique().int().tolist()) - {0, *values})
    if unknown:
        raise InputError(
            f"{file_name(label)}: label value {unknown[0]} found; {title} has {', '.join(map(str, values))}: is this "
            "its label map?"
        )
    result = torch.zeros_like(label)
    for found, wanted in values.items():
        result[label == found] = wanted
    return result
