"""MONAI dictionary transforms of our own, in the order in which a scan meets them."""

from .dicom_seg import SaveDicomSegd, name_after_scan
from .geometry import CropPadInPlaned, SafeSpacingd, SliceAxisd
from .outputs import MergeOrgansd, OrganMasksd
from .reading import LoadScansd
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
    "SaveDicomSegd",
    "SliceAxisd",
    "StudySupportd",
    "name_after_scan",
]
