"""Is it plausible: organ volumes, sides of the body, label map against image."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from monai.data import MetaTensor
from scipy.ndimage import binary_dilation

from ...data.names import organ_words
from .base import Challenge, Volumes

# Millilitres, wide enough for disease; most lower bounds also allow for organs that leave the field of view.
PLAUSIBLE_ML = {
    "liver": (400, 7000), "spleen": (20, 3000), "kidney": (20, 1500), "gallbladder": (0.5, 500),
    "oesophagus": (1, 200), "stomach": (10, 4000), "aorta": (5, 700), "inferior vena cava": (5, 400),
    "portal and splenic vein": (2, 250), "pancreas": (8, 400), "adrenal gland": (0.2, 80), "psoas": (20, 1200),
    "rectus abdominis": (10, 1000), "lung": (50, 7000), "trachea": (1, 150), "thyroid": (0.5, 500),
    "urinary bladder": (2, 3000), "sternum": (5, 400), "first lumbar vertebra": (10, 200),
    "LV-MYO": (20, 700), "LV-BP": (15, 700), "RV": (15, 800),
}  # fmt: skip
_REACH_MM = 6.0


def volumes_ml(label: MetaTensor, names: Mapping[str, int]) -> dict[str, float]:
    """Volume of each organ that is there, in mL.

    Args:
        label: ``(1, X, Y, Z)``.
        names: organ name to label value.
    """
    millilitres = abs(float(np.linalg.det(label.affine.numpy()[:3, :3]))) / 1000
    counts = {name: int((label == value).sum()) for name, value in names.items() if value != 0}
    return {name: round(count * millilitres, 2) for name, count in counts.items() if count}


def problems(volumes: Volumes, names: Mapping[str, int], challenge: Challenge) -> list[str]:
    """Say in one line each what is implausible in a prepared scan.

    Args:
        volumes: image and label map, label values as in ``names``.
        names: organ name to label value.
        challenge: its organs that must be there and the fit that its label maps have.
    """
    if volumes.label is None:
        return []
    found = volumes_ml(volumes.label, names)
    lines = [
        f"no {organ} in the label map; complete or replace it" for organ in challenge.required if organ not in found
    ]
    for organ, volume in found.items():
        plain = " ".join(word for word in organ_words(organ) if word not in ("left", "right"))
        low, high = PLAUSIBLE_ML.get(organ, PLAUSIBLE_ML.get(plain, (0, np.inf)))
        if not low <= volume <= high:
            lines.append(f"{organ} of {volume:g} mL, plausible are {low} to {high} mL; label values or files swapped?")
    lines += _wrong_sides(volumes, {name: names[name] for name in found})
    if challenge.smallest_fit is not None and not lines:
        explained = fit(volumes.image, volumes.label)
        if explained < challenge.smallest_fit:
            lines.append(
                f"the label map explains {explained:.0%} of the image's variance, {challenge.smallest_fit:.0%} or more "
                "is usual; is it that of another scan, or its slices in another order?"
            )
    return lines


def fit(image: MetaTensor, label: MetaTensor) -> float:
    """Share of the intensity variance in and close to the organs that the label values explain, 0 to 1.

    Args:
        image: ``(1, X, Y, Z)``.
        label: ``(1, X, Y, Z)``, same grid.
    """
    steps = max(1, round(_REACH_MM / float(image.pixdim[0])))
    values = label[0].numpy()
    region = binary_dilation(values > 0, structure=np.ones((3, 3, 1)), iterations=steps)
    intensities, organs = image[0].numpy()[region].astype(float), values[region].astype(int)
    total = ((intensities - intensities.mean()) ** 2).sum() if region.any() else 0.0
    if total == 0:
        return 0.0
    counts, sums = np.bincount(organs), np.bincount(organs, intensities)
    means = sums / np.maximum(counts, 1)
    return float((counts * (means - intensities.mean()) ** 2).sum() / total)


def to_the_right(mask: MetaTensor) -> float:
    """Position of a mask's centre along the patient's left-to-right axis, mm.

    Args:
        mask: ``(1, X, Y, Z)``, boolean, not empty.
    """
    voxels = mask[0].as_tensor()
    counts = [voxels.sum(dim=[other for other in range(3) if other != axis]).double() for axis in range(3)]
    centre = [float(count @ torch.arange(len(count)).double() / count.sum()) for count in counts]
    return float(mask.affine.numpy()[0] @ [*centre, 1])


def _wrong_sides(volumes: Volumes, names: Mapping[str, int]) -> list[str]:
    """Compare the organs' centres; a liver without spleen with the middle of the bright part of the image."""
    centres = {name: to_the_right(volumes.label == value) for name, value in names.items()}
    lines = []
    for name in centres:
        left = name.replace("right", "left", 1)
        if left != name and left in centres and centres[name] <= centres[left]:
            lines.append(f"{name} lies left of {left}; labels swapped, or the scan is mirrored")
    if "liver" in centres:
        other = "spleen" if "spleen" in centres else "middle of the body"
        image = volumes.image
        middle = centres["spleen"] if "spleen" in centres else to_the_right(image > image.mean(dtype=torch.float64))
        if centres["liver"] <= middle:
            lines.append(f"liver lies left of the {other}, not on the patient's right; mirrored, or labels swapped")
    return lines
