"""Organ names from what comes with a label map: its header, or a file beside it."""

import json

import nibabel as nib
import numpy as np
import pytest

from common.data.companions import organ_names
from common.data.reading import read_label
from common.errors import InputError

SNAP = """################################################
# ITK-SnAP Label Description File
# File format: IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "liver"
    4     0  255    0        1  1  1    "right kidney"
"""


def label_map(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), path)
    return path


def slicer(path, **names):
    """3D Slicer's file of a segmentation with one layer; its names stand in the header."""
    lines = ["NRRD0004", "type: unsigned char", "dimension: 3", "space: left-posterior-superior", "sizes: 4 4 4"]
    lines += ["space directions: (1,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)", "encoding: raw"]
    for number, (name, value) in enumerate(names.items()):
        lines += [f"Segment{number}_LabelValue:={value}", f"Segment{number}_Name:={name}"]
    path.write_bytes("\n".join([*lines, "", ""]).encode() + np.ones(64, np.uint8).tobytes())
    return path


def test_of_slicers_segmentation(tmp_path):
    path = slicer(tmp_path / "a.seg.nrrd", liver=1, spleen=3)
    assert read_label(path).unique().tolist() == [1]
    assert organ_names([path]) == {1: "liver", 3: "spleen"}


def test_of_itk_snap_beside_the_map(tmp_path):
    (tmp_path / "scan_seg.label").write_text(SNAP)
    assert organ_names([label_map(tmp_path / "scan_seg.nii.gz")]) == {1: "liver", 4: "right kidney"}
    (tmp_path / "scan_seg.label").unlink()
    (tmp_path / "scan_seg.txt").write_text("notes on this patient\n")  # any other text is not about it
    assert organ_names([tmp_path / "scan_seg.nii.gz"]) == {}


def test_a_broken_description_is_named(tmp_path):
    (tmp_path / "scan.label").write_text(SNAP + "  5   liver\n")
    with pytest.raises(InputError, match=r"scan\.label: '5   liver' is no label description"):
        organ_names([label_map(tmp_path / "scan.nii.gz")])


def test_of_a_dataset_above(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    assert organ_names([label_map(tmp_path / "labelsTr" / "scan.nii.gz")]) == {1: "liver"}


def test_given_names_go_before(tmp_path):
    path = slicer(tmp_path / "a.seg.nrrd", liver=1, spleen=3)
    assert organ_names([path], {3: "Milz"}) == {1: "liver", 3: "Milz"}


def test_one_value_with_two_names_is_refused(tmp_path):
    paths = [slicer(tmp_path / "a.seg.nrrd", liver=1), slicer(tmp_path / "b.seg.nrrd", spleen=1, liver=2)]
    with pytest.raises(InputError, match=r"b\.seg\.nrrd: label value 1 is spleen, and liver in .*a\.seg\.nrrd"):
        organ_names(paths)
    assert organ_names([paths[0], slicer(tmp_path / "c.seg.nrrd", Liver=1)]) == {1: "liver"}
