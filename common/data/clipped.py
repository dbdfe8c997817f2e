"""The mark of a scan whose brightest voxels are clipped already: in the file itself, which it follows everywhere."""

from __future__ import annotations

import re
from typing import Any

from nibabel.nifti1 import Nifti1Header

CLIPPED = "clipped_percentile"  # in the meta of a volume
_MARK = "clipped above percentile {:g}"


def mark_clipped(header: Nifti1Header, percentile: float) -> None:
    """Write into a NIfTI header's description that the voxels above a percentile of the scan are clipped."""
    header["descrip"] = _MARK.format(percentile).encode()


def clipped_percentile(description: str) -> float | None:
    """Read from a header's description the percentile above which a scan is clipped; None where it says nothing."""
    found = re.fullmatch(_MARK.replace("{:g}", r"(\d+\.?\d*)"), description)
    return float(found[1]) if found else None


def is_clipped(volume: Any, percentile: float) -> bool:
    """Tell whether a volume was clipped at this percentile before it was stored."""
    return bool(getattr(volume, "meta", {}).get(CLIPPED) == percentile)
