"""What follows an answer: it is merged, looked at, described and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monai.config import KeysCollection
from monai.transforms import Compose

from ..data.companions import organ_names as find_names
from ..data.monai_label.support import ConfidenceAnswerd
from .dicom_seg import SaveDicomSegd
from .outputs import MergeOrgansd
from .preview import SavePreviewd
from .saving import SaveAnswerd
from .summary import PrintSummaryd
from .warnings import WarnOfAnswerd


class WriteAnswerd(Compose):
    """Make of organ probabilities on the scan's own grid a label map, and write it with what else was asked for.

    Args:
        keys: key of probabilities ``(1 + N, X, Y, Z)``; the label map takes its place.
        support: ``image`` and ``label``, paths of the support's scans and label maps.
        bundle_root: the bundle's folder, named as the algorithm of a DICOM-SEG.
        largest_components: see ``MergeOrgansd``.
        organ_names: names by label value, in place of those that come with the support's label maps.
        confidence: also write the largest foreground probability.
        dicom_seg: also write a DICOM-SEG.
        preview: also write a picture, the support beside the answer.
        summary: what to print for each organ, see ``PrintSummaryd``; None: nothing.
    """

    def __init__(
        self,
        keys: KeysCollection,
        support: Mapping[str, Sequence[str]],
        bundle_root: str,
        largest_components: int | None = None,
        organ_names: Mapping[int, str] | None = None,
        confidence: bool = False,
        dicom_seg: bool = False,
        preview: bool = False,
        summary: str | None = None,
    ) -> None:
        steps = [MergeOrgansd(keys, largest_components), WarnOfAnswerd(keys), SaveAnswerd(keys, "seg")]
        if confidence:
            steps.append(SaveAnswerd("confidence", "confidence"))
        if dicom_seg:
            steps.append(SaveDicomSegd(keys, bundle_root, organ_names))
        names = find_names(support["label"], organ_names) if preview or summary is not None else {}
        if preview:
            steps.append(SavePreviewd(keys, names))
        if summary is not None:
            steps.append(PrintSummaryd(keys, names, summary))
        steps.append(ConfidenceAnswerd(keys))
        super().__init__(steps)
