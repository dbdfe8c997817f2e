"""MONAI dictionary transforms of our own, in the order in which a scan meets them."""

from .checks import CheckFilesd, CheckVolumed
from .geometry import CropPadInPlaned, SafeSpacingd, SliceAxisd
from .outputs import MergeOrgansd, OrganMasksd
from .studies import StudySupportd
from .support import LoadSupportd, QueryExtentd

__all__ = [
    "CheckFilesd",
    "CheckVolumed",
    "CropPadInPlaned",
    "LoadSupportd",
    "MergeOrgansd",
    "OrganMasksd",
    "QueryExtentd",
    "SafeSpacingd",
    "SliceAxisd",
    "StudySupportd",
]
