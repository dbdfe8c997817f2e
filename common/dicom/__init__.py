"""Results as DICOM objects; needs the extra ``dicom``, which reading DICOM series does not."""

from ..data.dicom_seg import need_dicom
from .organs import parse_names
from .segmentation import algorithm_of, check_headers, write_segmentation

__all__ = ["algorithm_of", "check_headers", "need_dicom", "parse_names", "write_segmentation"]
