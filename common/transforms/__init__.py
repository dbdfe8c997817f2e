"""MONAI dictionary transforms of our own, in the order in which a scan meets them."""

from .dicom_seg import SaveDicomSegd
from .geometry import CropPadInPlaned, SafeSpacingd, SliceAxisd
from .outputs import MergeOrgansd, OrganMasksd
from .reading import LoadScansd
from .saving import SaveAnswerd
from .studies import StudySupportd
from .support import LoadSupportd, QueryExtentd

__all__ = [
    "CropPadInPlaned",
    "LoadScansd",
    "LoadSupportd",
    "MergeOrgansd",
    "OrganMasksd",
    "QueryExtentd",
    "SafeSpacingd",
    "SaveAnswerd",
    "SaveDicomSegd",
    "SliceAxisd",
    "StudySupportd",
]
