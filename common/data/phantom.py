"""Built-in phantom: abdomen-like MR subjects in MSD layout, made in seconds, so that everything runs without data."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from ..files.writing import whole_folder
from .synthetic.abdomen import LABELS, draw_subject

VERSION = 1

# Most subjects are stored Left-Anterior-Superior, as the CHAOS scans are; the fourth and the eighth of ten are not,
# so that whatever ignores the affine is found out.
_STORED_AXES = {3: ("R", "P", "S"), 7: ("S", "R", "A")}


def make_phantom(folder: str | Path | None = None, subjects: int = 10, seed: int = 0) -> Path:
    """Write the phantom as an MSD dataset, or return the copy that is already there.

    Args:
        folder: dataset folder to create; default ``phantom-v1-s<seed>-n<subjects>`` in ``cache_folder()``.
        subjects: number of subjects, named ``phantom_01`` on; a subject does not depend on how many there are.
        seed: same seed, same voxels.

    Returns:
        The folder, with ``dataset.json``, ``imagesTr/`` (int16, fat-suppressed T2 look) and ``labelsTr/`` (uint8: 1
        liver, 2 right kidney, 3 left kidney, 4 spleen).

    Raises:
        ValueError: ``subjects`` is not positive.
        FileExistsError: ``folder`` holds something else.
    """
    if subjects < 1:
        raise ValueError(f"the phantom needs at least 1 subject, got subjects={subjects}")
    identity = {"version": VERSION, "subjects": subjects, "seed": seed}
    if folder is None:
        folder = cache_folder() / f"phantom-v{VERSION}-s{seed}-n{subjects}"
    folder = Path(folder).expanduser().absolute()
    if _is_phantom(folder, identity):
        return folder
    if os.path.lexists(folder):
        raise FileExistsError(
            f"{folder} exists and is not the phantom with {identity}: delete it or choose another folder"
        )
    with whole_folder(folder) as draft:  # another process may finish first; its copy holds the same voxels
        _write_dataset(draft, identity)
    return folder


def cache_folder() -> Path:
    """Folder of files that can be made again: ``$FEWSHOT_CACHE``, else ``fewshot-bundles`` among the user's caches."""
    override = os.environ.get("FEWSHOT_CACHE")
    if override:
        return Path(override).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fewshot-bundles"


def _is_phantom(folder: Path, identity: dict[str, int]) -> bool:
    try:
        return json.loads((folder / "dataset.json").read_text()).get("phantom") == identity
    except (FileNotFoundError, NotADirectoryError):
        return False


def _write_dataset(folder: Path, identity: dict[str, int]) -> None:
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    names = [f"phantom_{number:02d}.nii.gz" for number in range(1, identity["subjects"] + 1)]
    for index, name in enumerate(names):
        drawing = draw_subject(np.random.default_rng([identity["seed"], index]))
        axes = _STORED_AXES.get(index % 10)
        _write_nifti(folder / "imagesTr" / name, drawing.image, drawing.affine, axes)
        _write_nifti(folder / "labelsTr" / name, drawing.label, drawing.affine, axes)
    description = {
        "name": "Abdomen phantom",
        "description": "Computer-drawn abdomens that look like fat-suppressed T2 MR; no patient data",
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": LABELS,
        "numTraining": len(names),
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
        "phantom": identity,
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=2) + "\n")


def _write_nifti(
    path: Path, array: NDArray[np.int16] | NDArray[np.uint8], affine: NDArray[np.float64], axes: tuple[str, ...] | None
) -> None:
    image = nibabel.Nifti1Image(array, affine)
    if axes is not None:
        image = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(axes)))
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
