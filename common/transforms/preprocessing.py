"""From a scan on disk to the network's grid: the same steps for training, validation, inference and the support."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from monai.transforms import CopyItemsd, MapTransform, ScaleIntensityRanged

from .clipping import ClipTopd
from .drawn import KeepDrawnd
from .geometry import CropPadInPlaned, NormaliseInPlaned, SafeSpacingd, ScaleInPlaned, SliceAxisd
from .reading import LoadScansd
from .trained_slices import AS_TRAINED, CutAsTrainedd

SOFT_TISSUE = (-125.0, 275.0)  # HU (released ALPNet code)
Steps = list[Callable[..., Any]]


class ScanPreprocessing:
    """The deterministic steps of all bundles: load, orient, clip, resample, bring to size, normalise.

    Images lie under ``image``, label maps, where there are any, under ``label``; ``stored_label`` is only loaded.

    Args:
        spacing: voxel size in mm, slice axis last; 0 keeps the scan's own.
        image_size: in-plane size in pixels that the network is trained with.
        axcodes: orientation, ``RAS`` for axial slices, or None, see ``SliceAxisd``.
        upper_percentile: intensities above it are clipped, per volume, unless the scan was stored so; not used with
            ``intensity_window``.
        intensity_window: two intensities that are scaled to 0 and 255, those beyond are clipped (CT).
        intensity_mean: subtracted after that; None: the volume's own mean.
        intensity_std: divisor after that; None: the volume's own standard deviation.
        volume_size: volumes of ``image_size`` are resized to these voxels, slice axis last; None: they are not.
        whole_field: nothing is cut off, for inference: slices larger than ``image_size`` stay whole, at the scale and
            with the mean and deviation that training would give them.
        normalisation: ``z_score`` (papers), or ``body_median``, see ``NormaliseInPlaned``; CT in HU is then windowed by
            itself, whatever the other scans are. Given mean and deviation go first.

    Attributes:
        geometry: the steps up to normalisation.
        normalise: the last step.
        steps: all of them.
        scored_steps: those of a query that is scored; its label map as it is stored remains as ``stored_label``.
    """

    def __init__(
        self,
        spacing: Sequence[float],
        image_size: int,
        axcodes: str | None = "RAS",
        upper_percentile: float = 99.5,
        intensity_window: Sequence[float] | None = None,
        intensity_mean: float | None = None,
        intensity_std: float | None = None,
        volume_size: Sequence[int] | None = None,
        whole_field: bool = False,
        normalisation: str = "z_score",
    ) -> None:
        robust = normalisation == "body_median"
        both: Any = {"keys": ["image", "label"], "allow_missing_keys": True}
        size = (image_size, image_size)
        load = LoadScansd(["image", "label", "stored_label"], allow_missing_keys=True)
        orient = SliceAxisd(axcodes=axcodes, **both)
        clip: MapTransform
        top = partial(ClipTopd, "image", upper_percentile, hounsfield_window=SOFT_TISSUE if robust else None)
        if intensity_window is None:
            clip = top()
        else:
            clip = ScaleIntensityRanged("image", *intensity_window, b_min=0, b_max=255, clip=True)
        resample = partial(SafeSpacingd, mode=["bilinear", "nearest"], **both)
        fit: Steps = [CropPadInPlaned(size=size, whole=whole_field, **both)]
        window = size
        if volume_size is not None:
            resizing: Any = {**both, "mode": ["trilinear", "nearest-exact"], "align_corners": [False, None]}
            fit.append(ScaleInPlaned(standard=size, volume_size=volume_size, **resizing))
            window = (volume_size[0], volume_size[1])
        normalise = partial(NormaliseInPlaned, "image", window, intensity_mean, intensity_std, normalisation)
        self.normalise = normalise()
        self.geometry: Steps = [load, orient, clip, resample(pixdim=spacing), *fit]
        self.steps = [*self.geometry, self.normalise]
        self.scored_steps = [CopyItemsd("label", names="stored_label"), *self.steps]
        before: Steps = [load, orient, CopyItemsd("label", names="drawn_label")]
        self._volume_support = [*before, clip, resample(pixdim=spacing), *fit, self.normalise, KeepDrawnd("label")]
        self._slice_support = [
            *before,
            CutAsTrainedd("image", spacing[2]),
            top(measured_on=AS_TRAINED) if intensity_window is None else clip,
            resample(pixdim=[*spacing[:2], 0]),
            SafeSpacingd(AS_TRAINED, pixdim=[*spacing[:2], 0], mode="bilinear"),
            *fit,
            CropPadInPlaned(AS_TRAINED, size=size, whole=whole_field),
            normalise(measured_on=AS_TRAINED),
            KeepDrawnd("label"),
        ]

    def support_steps(self, slices: bool) -> Steps:
        """Return the steps for a support: what was drawn outlives them, however thin.

        Args:
            slices: the method compares slices, which are then resampled in plane only and never across.
        """
        return self._slice_support if slices else self._volume_support
