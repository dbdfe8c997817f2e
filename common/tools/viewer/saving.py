"""A label map of the window on the disk, by the writers of ``fewshot segment``."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

from monai.data import MetaTensor

from ...data.formats import extension
from ...errors import InputError
from ...files.writing import write_bytes
from ...results.marks import check_output, mark_of
from ...transforms.saving import as_nifti
from .scans import Scan


def save_label(
    scan: Scan, label: MetaTensor, path: str | Path, names: Mapping[int, str], bundle: str | Path | None
) -> Path:
    """Write a label map in its scan's geometry; a file of that name is replaced, an input never.

    Args:
        scan: that the label map lies on.
        label: ``(1, X, Y, Z)``.
        path: ``.nii.gz`` or ``.nii`` for NIfTI, ``.dcm`` for DICOM-SEG, which a DICOM series has.
        names: organs by label value.
        bundle: that made the label map; None: a person.

    Returns:
        The path.

    Raises:
        InputError: another ending, a file of the scan itself, or no series for a DICOM-SEG.
        WriteError: the disk is full or cannot be written to.
    """
    path, mark = Path(path), mark_of("viewer", scan.path)
    check_output(path, mark, [scan.path], overwrite=True)
    if path.suffix.lower() == ".dcm":
        from ...data.dicom.seg_writer import algorithm_of, write_segmentation

        drawn = {int(value) for value in label.unique()} - {0}
        named = {value: names.get(value, f"organ {value}") for value in sorted(drawn)}
        return write_segmentation(scan.path, label, path, named, *algorithm_of(bundle), mark=mark)
    if extension(path).lower() not in (".nii", ".nii.gz"):
        raise InputError(f"{path}: end the name in .nii.gz for NIfTI, or in .dcm for DICOM-SEG")
    content = as_nifti(label.round().int(), str(scan.path), mark).to_bytes()
    write_bytes(path, gzip.compress(content, compresslevel=1, mtime=0) if path.suffix.lower() == ".gz" else content)
    return path
