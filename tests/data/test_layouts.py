"""Folders without a list: label maps beside their scans, formats, folders below."""

from __future__ import annotations

import numpy as np
import pytest

from common.data import load_datalist
from common.errors import InputError
from tests.data.folders import describe, one_line, subjects_of, write_scan


@pytest.mark.parametrize("folder", ["", "images", "imagesTr"])
@pytest.mark.parametrize(
    ("scan", "label", "subject"),
    [
        ("c0", "c0_seg", "c0"),
        ("c0", "c0-seg", "c0"),
        ("c0", "c0_label", "c0"),
        ("c0", "c0-label", "c0"),
        ("c0", "c0.seg", "c0"),
        ("c0", "C0_Segmentation", "c0"),
        ("c0", "c0_mask", "c0"),
        ("c0", "c0_gt", "c0"),
        ("img0001", "label0001", "img0001"),
        ("volume-7", "segmentation-7", "volume-7"),
        ("image", "label", "image"),
        ("c0_0000", "c0_seg", "c0"),
    ],
)
def test_label_map_beside_its_scan(tmp_path, folder, scan, label, subject):
    image, drawn = (write_scan(tmp_path / folder / f"{name}.nii.gz") for name in (scan, label))
    other = write_scan(tmp_path / folder / "x9.nii.gz")
    assert sorted(load_datalist(tmp_path), key=lambda item: item["image"] == other) == [
        {"image": image, "label": drawn, "subject": subject},
        {"image": other, "subject": "x9"},
    ]


@pytest.mark.parametrize(("images", "labels"), [("imagesTr", "labelsTr"), ("imagesTr", "labels"), ("images", "masks")])
def test_label_map_of_another_name_in_its_folder(tmp_path, images, labels):
    write_scan(tmp_path / images / "img0001.nii.gz")
    label = write_scan(tmp_path / labels / "label0001.nii.gz")
    assert load_datalist(tmp_path, require_labels=True)[0]["label"] == label


@pytest.mark.parametrize("name", ["c9_seg", "label0009", "segmentation", "c0_seg_manual", "c0_c1_mask"])
def test_label_map_without_its_scan_is_no_scan(tmp_path, name):
    write_scan(tmp_path / "c0.nii.gz")
    write_scan(tmp_path / f"{name}.nii.gz")
    with pytest.raises(InputError, match=rf"{name}\.nii\.gz: a label map by its name, and no scan") as info:
        load_datalist(tmp_path)
    assert one_line(info)


def test_label_map_that_fits_two_scans_or_is_the_second(tmp_path):
    for name in ("a_1", "a-1", "a1_seg"):
        write_scan(tmp_path / f"{name}.nii.gz")
    with pytest.raises(InputError, match=r"a1_seg\.nii\.gz: the label map may be of a-1 or a_1"):
        load_datalist(tmp_path)
    (tmp_path / "a-1.nii.gz").rename(tmp_path / "a1_label.nii.gz")
    with pytest.raises(InputError, match=r"are both label maps of a_1"):
        load_datalist(tmp_path)


def test_confidence_map_is_no_scan(tmp_path):
    for name in ("c0", "c0_seg", "c0_confidence"):
        write_scan(tmp_path / f"{name}.nii.gz")
    with pytest.raises(InputError, match=r"c0_confidence\.nii\.gz: a confidence map"):
        load_datalist(tmp_path)


def test_label_map_of_no_scan_in_its_folder_is_said(tmp_path, caplog):
    write_scan(tmp_path / "images" / "a.nii.gz")
    write_scan(tmp_path / "labels" / "b.nii.gz")
    assert "label" not in load_datalist(tmp_path)[0]
    assert "b.nii.gz: no scan of that name" in caplog.text


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".NII.GZ", ".Nii", ".MHA"])
def test_formats_and_capitals(tmp_path, ending):
    import itk

    for name in ("p1", "p1_seg"):
        itk.imwrite(itk.image_from_array(np.zeros((2, 4, 4), np.int16)), str(tmp_path / f"{name}{ending.lower()}"))
        (tmp_path / f"{name}{ending.lower()}").rename(tmp_path / f"{name}{ending}")
    (item,) = load_datalist(tmp_path)
    assert item == {"image": str(tmp_path / f"p1{ending}"), "label": str(tmp_path / f"p1_seg{ending}"), "subject": "p1"}


def test_scans_in_folders_below(tmp_path):
    for name in ("a/image", "a/label", "b/image", "c/scan one"):
        write_scan(tmp_path / f"{name}.nii.gz")
    write_scan(tmp_path / ".hidden" / "image.nii.gz")
    items = load_datalist(tmp_path)
    assert subjects_of(items) == ["a_image", "b_image", "c_scan_one"]
    assert items[0]["label"] == str(tmp_path / "a" / "label.nii.gz") and "label" not in items[1]
    describe(tmp_path / "b", training=["image.nii.gz"])
    with pytest.raises(InputError, match=r"holds 1 datasets, no scans of its own; name one, such as .*/b$"):
        load_datalist(tmp_path)


def test_a_broken_link_is_named(tmp_path):
    write_scan(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to("gone.nii.gz")
    with pytest.raises(InputError, match=r"b\.nii\.gz"):
        load_datalist(tmp_path)


def test_a_missing_listed_file_is_named_and_nothing_else_is_read(tmp_path):
    for name in ("imagesTr/c0", "labelsTr/c0", "labelsTr/c1"):
        write_scan(tmp_path / f"{name}.nii.gz")
    training = [{"image": f"imagesTr/{n}.nii.gz", "label": f"labelsTr/{n}.nii.gz"} for n in ("c0", "c1")]
    describe(tmp_path, training=training)
    with pytest.raises(FileNotFoundError, match=r"imagesTr/c1\.nii\.gz is missing: restore") as info:
        load_datalist(tmp_path)
    assert one_line(info)
