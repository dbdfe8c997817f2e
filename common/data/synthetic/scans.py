"""One synthetic scan of a family, from a seed: anatomy, contrast, resolution, field of view and acquisition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import abdomen, heart, limbs, shapes
from .acquisition import acquire, acquire_ct
from .canvas import Canvas, Volume

PHANTOM = "phantom"  # the family of the built-in phantom's subjects, finer than the others
_PHANTOM_SHARE = 0.5
_PIXELS = 144
_FIELD = 336.0  # mm, before a scan's own zoom


@dataclass(frozen=True)
class SyntheticScan:
    """One scan on its own grid.

    Attributes:
        family: name of what was drawn.
        image: ``(X, Y, Z)`` float32; MR-like intensities, or HU.
        label: ``(X, Y, Z)`` uint8 of the parts that the family names.
        affine: ``(4, 4)`` voxel index to world millimetres (RAS+).
    """

    family: str
    image: Volume
    label: NDArray[np.uint8]
    affine: NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """Scans of one kind.

    Attributes:
        draw: paints the anatomy.
        tissues: mean intensity of every tissue.
        share: of the scans that belong to it.
        contrast: largest relative change of a tissue's intensity.
        invented: tissues have intensities that no sequence gives them.
        hounsfield: CT, whose tissues are given in HU + 1024.
    """

    draw: Callable[[Canvas], None]
    tissues: Mapping[str, float]
    share: float
    contrast: float = 0.25
    invented: bool = False
    hounsfield: bool = False


_T2 = abdomen.TISSUES
_T1 = {
    **_T2, "fat": 620, "skin": 380, "muscle": 260, "cavity": 430, "bone": 330, "disc": 210, "fluid": 90, "liver": 340,
    "spleen": 230, "cortex": 270, "medulla": 190, "sinus": 420, "vessel": 110, "vein": 150, "pancreas": 330,
    "stomach": 200, "bowel": 230, "heart": 200,
}  # fmt: skip
_T1_FAT_SUPPRESSED = {**_T1, "fat": 110, "cavity": 130, "sinus": 120, "bone": 170, "skin": 220, "pancreas": 420}
_OUT_OF_PHASE = {**_T1, "fat": 380, "cavity": 260, "liver": 300, "bone": 180, "sinus": 250}
_CT_PORTAL = {
    "fat": 924, "skin": 1060, "muscle": 1084, "cavity": 930, "lung": 180, "bone": 1380, "disc": 1110, "fluid": 1034,
    "liver": 1134, "spleen": 1144, "cortex": 1214, "medulla": 1184, "sinus": 960, "vessel": 1184, "vein": 1194,
    "pancreas": 1119, "stomach": 1064, "bowel": 1074, "heart": 1184,
}  # fmt: skip
_CT_NATIVE = {
    **_CT_PORTAL, "liver": 1084, "spleen": 1072, "cortex": 1056, "medulla": 1054, "vessel": 1066, "vein": 1066,
    "pancreas": 1064, "heart": 1066,
}  # fmt: skip
_LATE_ENHANCEMENT = {**heart.TISSUES, "blood": 380, "myocardium": 60, "scar": 520, "muscle": 110, "liver": 180}
_T2_LIMBS = {**limbs.TISSUES, "fluid": 720, "bladder": 700, "white": 190, "grey": 300, "muscle": 110, "fat": 350}

FAMILIES: dict[str, Family] = {
    "abdomen T2": Family(abdomen.draw_abdomen, _T2, 0.2),
    "abdomen T1": Family(abdomen.draw_abdomen, _T1, 0.06),
    "abdomen T1 fat-suppressed": Family(abdomen.draw_abdomen, _T1_FAT_SUPPRESSED, 0.06),
    "abdomen out of phase": Family(abdomen.draw_abdomen, _OUT_OF_PHASE, 0.04),
    "abdomen CT portal": Family(abdomen.draw_abdomen, _CT_PORTAL, 0.07, 0.015, hounsfield=True),
    "abdomen CT native": Family(abdomen.draw_abdomen, _CT_NATIVE, 0.03, 0.01, hounsfield=True),
    "abdomen, invented contrast": Family(abdomen.draw_abdomen, _T2, 0.14, invented=True),
    "heart cine": Family(heart.draw_heart, heart.TISSUES, 0.08),
    "heart late enhancement": Family(heart.draw_heart, _LATE_ENHANCEMENT, 0.05),
    "heart, invented contrast": Family(heart.draw_heart, heart.TISSUES, 0.04, invented=True),
    "head": Family(limbs.draw_head, limbs.TISSUES, 0.03),
    "head T2": Family(limbs.draw_head, _T2_LIMBS, 0.02),
    "pelvis": Family(limbs.draw_pelvis, _T2_LIMBS, 0.04),
    "thighs": Family(limbs.draw_thighs, limbs.TISSUES, 0.02),
    "shapes": Family(shapes.draw_shapes, shapes.TISSUES, 0.12, invented=True),
}


def draw_scan(seed: int, number: int, family: str | None = None) -> SyntheticScan:
    """Draw a scan.

    Args:
        seed: of all scans.
        number: of the scan.
        family: ``PHANTOM``, which half of all are, or one of ``FAMILIES``; None: drawn by their shares.

    Returns:
        A subject as ``draw_subject`` draws it, or 144 x 144 pixels of 1.5 to 3 mm, in 12 to 24 slices that are 5 to
        12 mm apart; it does not depend on others.
    """
    generator = np.random.default_rng([seed, number])
    if (family is None and generator.random() < _PHANTOM_SHARE) or family == PHANTOM:
        subject = abdomen.draw_subject(generator)
        return SyntheticScan(PHANTOM, subject.image.astype(np.float32), subject.label, subject.affine)
    names = list(FAMILIES)
    shares = np.array([kind.share for kind in FAMILIES.values()])
    drawn = names[int(generator.choice(len(names), p=shares / shares.sum()))]
    family = family or drawn
    kind = FAMILIES[family]
    slice_spacing = generator.uniform(5, 12)
    slices = int(np.clip(round(generator.uniform(150, 190) / slice_spacing), 12, 24))
    tissues = kind.tissues
    if kind.invented:
        tissues = {name: generator.uniform(20, 700) for name in tissues}
    canvas = Canvas(
        generator, _PIXELS, slices, _FIELD / _PIXELS, slice_spacing, tissues,
        sizes=((0.85, 0.82, 0.88), (1.08, 1.1, 1.12)), shifts=(8, 8, 10), bend=6.0, contrast=kind.contrast,
        grain=0.2 if kind.hounsfield else 1.0,
    )  # fmt: skip
    kind.draw(canvas)
    image = acquire_ct(canvas) if kind.hounsfield else acquire(canvas)
    zoom = generator.uniform(0.7, 1.15)  # small patients, large ones, other fields of view
    affine = np.diag([-canvas.spacing * zoom, canvas.spacing * zoom, slice_spacing, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(image.shape) - 1) / 2)
    return SyntheticScan(family, image, canvas.labels(), affine)
