"""MONAI dictionary transforms of our own, in the order in which a scan meets them."""

from ..data.monai_label.support import StudySupportd
from .answering import WriteAnswerd
from .dicom_seg import SaveDicomSegd
from .extent import QueryExtentd
from .geometry import CropPadInPlaned, SafeSpacingd, SliceAxisd
from .outputs import MergeOrgansd, OrganMasksd, ScoredMasks
from .preprocessing import ScanPreprocessing
from .preview import SavePreviewd
from .reading import LoadScansd
from .summary import PrintSummaryd
from .support import LoadSupportd
from .warnings import WarnUnlikeKnownd, WarnUnlikeTrainingd

__all__ = [
    "CropPadInPlaned",
    "LoadScansd",
    "LoadSupportd",
    "MergeOrgansd",
    "OrganMasksd",
    "PrintSummaryd",
    "QueryExtentd",
    "SafeSpacingd",
    "SaveDicomSegd",
    "SavePreviewd",
    "ScanPreprocessing",
    "ScoredMasks",
    "SliceAxisd",
    "StudySupportd",
    "WarnUnlikeKnownd",
    "WarnUnlikeTrainingd",
    "WriteAnswerd",
]
