"""Write prepared scans: each file whole or not there, each scan with a record of what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

from ...data.clipped import mark_clipped
from ...files.writing import whole_file, write_json
from .base import Volumes

Record = dict[str, Any]
FOLDERS = {"image": "imagesTr", "label": "labelsTr"}


def write_scan(folder: Path, subject: str, volumes: Volumes, record: Record) -> Record:
    """Write image, label map (uint8) and record of a scan below a folder, the record last.

    Args:
        folder: gets ``imagesTr/``, ``labelsTr/`` and ``<subject>.json``.
        subject: name of the files.
        volumes: what to write.
        record: what the scan was made from.

    Returns:
        The record with the files and their sizes in bytes.
    """
    files = {}
    for key, volume in (("image", volumes.image), ("label", volumes.label)):
        if volume is not None:
            path = folder / FOLDERS[key] / f"{subject}.nii.gz"
            with whole_file(path) as partial:
                nib.save(_as_nifti(volume, key == "label", volumes.clipped), partial)
            files[key] = path.stat().st_size
    record = {**record, "files": files, "clipped_percentile": volumes.clipped}
    write_json(folder / f"{subject}.json", record)
    return record


def is_record(value: Any) -> bool:
    """Tell whether a value read from a file is the record of a scan."""
    kinds = {"version": str, "inputs_sha256": str, "volumes_ml": dict, "warnings": list, "files": dict}
    return isinstance(value, dict) and all(isinstance(value.get(key), kind) for key, kind in kinds.items())


def is_written(folder: Path, subject: str, record: Record, version: str, inputs: str) -> bool:
    """Tell whether a scan lies below a folder whole, made by this version from these inputs.

    Args:
        folder: as for ``write_scan``.
        subject: name of the files.
        record: its record, empty without one.
        version: of the adapter.
        inputs: digest of the files that it is made from.
    """
    if not record or (record["version"], record["inputs_sha256"]) != (version, inputs):
        return False
    paths = {folder / FOLDERS[key] / f"{subject}.nii.gz": size for key, size in record["files"].items()}
    return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())


def _as_nifti(volume: MetaTensor, is_label: bool, clipped: float | None) -> nib.Nifti1Image:
    array = volume[0].numpy()
    image = nib.Nifti1Image(array.astype(np.uint8) if is_label else array, volume.affine.numpy().astype(float))
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    if clipped is not None and not is_label:
        mark_clipped(image.header, clipped)
    return image
