"""Label maps of DICOM series as DICOM-SEG."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from ..data.reading import file_name
from .saving import answer_file

logger = logging.getLogger(__name__)


class SaveDicomSegd(MapTransform):
    """Write label maps of DICOM series as ``<answer>_seg.dcm``; needs the extra ``dicom``.

    Args:
        keys: keys of label maps ``(1, X, Y, Z)`` on the grid of the scan that was read, whose meta names the folder.
        bundle_root: bundle, whose metadata name the algorithm and its version.
        organ_names: label values to write and the organs' names, by which codes are found; None: all, as "organ 1".
    """

    def __init__(self, keys: KeysCollection, bundle_root: str, organ_names: Mapping[Any, str] | None = None) -> None:
        from ..data.dicom.seg_reader import need_dicom
        from ..data.dicom.seg_writer import algorithm_of

        need_dicom()  # before anything is segmented
        super().__init__(keys)
        self.algorithm = algorithm_of(bundle_root)
        self.organ_names = None if organ_names is None else {int(value): name for value, name in organ_names.items()}

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data unchanged.

        Raises:
            InputError: the scan is not a folder, or its files cannot be referred to.
        """
        from ..data.dicom.seg_writer import write_segmentation

        for key in self.key_iterator(data):
            series = Path(file_name(data[key]))
            drawn = {int(value) for value in data[key].unique()} - {0}
            if not drawn & set(self.organ_names or drawn):
                logger.warning("%s: no organ was found, so no DICOM-SEG is written", series)
                continue
            output = answer_file(data, "seg.dcm")
            label = data[key].cpu()
            write_segmentation(series, label, output, self.organ_names, *self.algorithm, mark=data["mark"], say=_silent)
        return dict(data)


def _silent(*_: Any) -> None:
    """What is to be said about a series' headers, ``name_answers`` said before the segmentation."""
