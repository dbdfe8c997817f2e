"""DICOM: series read and checked, segmentations (DICOM-SEG) read, and written with the extra ``dicom``."""
