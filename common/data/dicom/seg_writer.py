"""Label maps of DICOM series as DICOM Segmentation objects (DICOM-SEG)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from ... import PROGRAM, __version__
from ...errors import InputError, one_line
from ...files.writing import write_bytes
from ..reading import read_label, to_grid
from .headers import complete
from .organs import find_organ
from .parsing import quiet
from .seg_reader import need_dicom
from .series import check_series, holds_series, is_dicom, series_affine

logger = logging.getLogger(__name__)


def algorithm_of(bundle: str | Path | None) -> tuple[str, str]:
    """Return name and version of a bundle, from its ``configs/metadata.json``; those of this package without one."""
    if bundle is None:
        return PROGRAM, __version__
    metadata = json.loads((Path(bundle) / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return str(metadata["name"]), str(metadata["version"])


def write_segmentation(
    series: str | Path,
    label_map: str | Path | MetaTensor,
    output: str | Path,
    organ_names: Mapping[int, str] | None,
    algorithm_name: str,
    algorithm_version: str,
    mark: str = "",
    say: Callable[[str], object] = logger.warning,
) -> Path:
    """Write a label map as DICOM-SEG: binary, one coded segment for each organ, with references to every source slice.

    Where de-identification has emptied the series' UIDs, those of the files' meta information are used for the slices;
    study and series get UIDs derived from them, the same at every call.

    Args:
        series: folder of the DICOM series that was segmented.
        label_map: file of a label map, or ``(1, X, Y, Z)`` with its affine, on the series' grid; axes in any order and
            direction.
        output: file to write, ``.dcm``; complete or not there at all.
        organ_names: label values to write and their names; None: all that are there, as "organ 1" and so on.
        algorithm_name: name of the program, for instance that of the bundle.
        algorithm_version: its version.
        mark: of the command, stored in a private element.
        say: gets a line for what the headers lack.

    Returns:
        The file.

    Raises:
        InputError: packages are missing, the series or the label map is unusable, they do not fit, or the label map
            holds none of the organs.
    """
    need_dicom()
    if not Path(series).is_dir():
        raise InputError(f"{series}: DICOM-SEG refers to a DICOM series; give its folder")
    ordered = check_series(Path(series))
    empty = torch.zeros(1).expand((1, *ordered[0].size, len(ordered)))
    meta = {"filename_or_obj": str(series)}
    grid = MetaTensor(empty, torch.as_tensor(series_affine(ordered)), meta=meta)
    label = read_label(label_map, grid) if isinstance(label_map, (str, Path)) else to_grid(label_map, grid)
    volume = label.as_tensor().round().to(torch.int32)[0].cpu().numpy()
    names = _present(volume, organ_names, label_map if isinstance(label_map, (str, Path)) else output)
    slices = [_header(item.path) for item in ordered]
    for line in complete(slices, series):
        say(line)
    content = _as_file(series, mark, slices, volume, names, algorithm_name, algorithm_version)
    write_bytes(Path(output), content)
    return Path(output)


def check_headers(series: str | Path, say: Callable[[str], object] = logger.warning) -> None:
    """Tell, before anything is segmented, what a series' headers lack for a DICOM-SEG, by making one of a single slice.

    Args:
        series: folder of a DICOM series; its files are not checked.
        say: gets a line for what is lacking.

    Raises:
        InputError: packages are missing, or it is a file, to which a DICOM-SEG cannot refer.
    """
    need_dicom()
    if Path(series).is_file():
        raise InputError(f"{series}: DICOM-SEG refers to a DICOM series; give its folder, or leave dicom_seg out")
    if not holds_series(Path(series)):
        return
    slices = [_header(path) for path in sorted(Path(series).iterdir()) if path.is_file() and is_dicom(path)]
    try:
        for line in complete(slices, series):
            say(line)
        volume = np.ones((int(slices[0].Columns), int(slices[0].Rows), 1), np.int32)
        _as_file(series, "", slices[:1], volume, {1: "organ 1"}, "name", "version")
    except (InputError, AttributeError) as error:
        say(f"{one_line(error)}; its label map will be written, a DICOM-SEG will not")


@quiet()
def _header(path: Path) -> Any:
    import pydicom

    return pydicom.dcmread(path, stop_before_pixels=True)


def _as_file(series: str | Path, mark: str, *content: Any) -> bytes:
    stream = BytesIO()
    try:
        with quiet():
            dataset = _segmentation(*content)
            if mark:
                dataset.private_block(0x0099, PROGRAM, create=True).add_new(1, "LO", mark)
            dataset.save_as(stream)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{series}: no DICOM-SEG can be made of its headers: {one_line(error)}") from error
    return stream.getvalue()


def _present(volume: np.ndarray, names: Mapping[int, str] | None, source: Any) -> dict[int, str]:
    """Names of the values in the label map, background left out."""
    values = [int(value) for value in np.unique(volume) if value > 0]
    if names is None:
        names = {value: f"organ {value}" for value in values}
    found = {value: name for value, name in sorted(names.items()) if value in values}
    absent = [name for value, name in names.items() if value and value not in values]
    if not found:
        raise InputError(f"{source}: no organ to write, the label map holds {values}, asked for {dict(names)}")
    if absent:
        logger.warning("%s: nothing drawn of %s, left out of the DICOM-SEG", source, ", ".join(absent))
    return found


def _segmentation(slices: Sequence[Any], volume: np.ndarray, names: Mapping[int, str], name: str, version: str) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    algorithm = hd.AlgorithmIdentificationSequence(name, family=codes.cid7162.ArtificialIntelligence, version=version)
    frames = np.moveaxis(volume, (2, 1, 0), (0, 1, 2))
    numbered = np.zeros(frames.shape, np.uint8 if len(names) < 256 else np.uint16)
    for number, value in enumerate(names, start=1):
        numbered[frames == value] = number
    return hd.seg.Segmentation(
        source_images=slices,
        pixel_array=numbered,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_describe(number, organ, algorithm) for number, organ in enumerate(names.values(), 1)],
        series_instance_uid=hd.UID(),
        series_number=_series_number(slices[0]) + 1000,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=PROGRAM,
        manufacturer_model_name=name,
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        content_description=f"Segmentation by {name}"[:64],
        series_description=f"Segmentation by {name}"[:64],
    )


def _describe(number: int, name: str, algorithm: Any) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    organ, modifiers = find_organ(name)
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.cid7150.AnatomicalStructure,
        segmented_property_type=organ,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=hd.UID(),
        tracking_id=name,
    )
    if modifiers:
        concepts = [hd.sr.CodedConcept.from_code(modifier) for modifier in modifiers]
        description.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = concepts
    return description


def _series_number(header: Any) -> int:
    try:
        return int(header.get("SeriesNumber") or 0)
    except (ValueError, TypeError):  # no whole number
        return 0
