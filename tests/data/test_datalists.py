from __future__ import annotations

from pathlib import Path

import pytest

from common.data import exclude_subjects, label_names, load_datalist, select_subjects
from common.data.queries import query_items
from common.errors import InputError
from tests.data.folders import describe, one_line, subjects_of, write_scan
from tests.dicom.writer import values, write_series

STORED = values((8, 6, 2))


def test_msd_description(tmp_path):
    for name in ("scan_10", "scan_2"):
        write_scan(tmp_path / "imagesTr" / f"{name}.nii.gz")
        write_scan(tmp_path / "labelsTr" / f"{name}.nii.gz")
    write_scan(tmp_path / "imagesTs" / "scan_3.nii.gz")
    pairs = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in ("scan_10", "scan_2")]
    describe(tmp_path, training=pairs, test=["./imagesTs/scan_3.nii.gz"])
    assert load_datalist(tmp_path, require_labels=True) == [
        {
            "image": str(tmp_path / "imagesTr" / f"{name}.nii.gz"),
            "label": str(tmp_path / "labelsTr" / f"{name}.nii.gz"),
            "subject": name,
        }
        for name in ("scan_2", "scan_10")
    ]
    assert load_datalist(str(tmp_path), section="test") == [
        {"image": str(tmp_path / "imagesTs" / "scan_3.nii.gz"), "subject": "scan_3"}
    ]


def test_msd_description_with_plain_strings_and_absolute_paths(tmp_path):
    elsewhere = write_scan(tmp_path / "elsewhere" / "a_0000.nii")
    write_scan(tmp_path / "set" / "b.nii.gz")
    describe(tmp_path / "set", training=["b.nii.gz", {"image": elsewhere}])
    with pytest.raises(InputError, match=r"elsewhere/a_0000\.nii lies outside of the folder.*allow_outside") as info:
        load_datalist(tmp_path / "set")
    assert one_line(info)
    datalist = load_datalist(tmp_path / "set", allow_outside=True)
    assert subjects_of(datalist) == ["a", "b"]
    assert datalist[0]["image"] == elsewhere


@pytest.mark.parametrize(("images", "labels"), [("imagesTr", "labelsTr"), ("images", "labels"), ("", "labels")])
def test_plain_folder(tmp_path, images, labels):
    write_scan(tmp_path / images / "p1_0000.nii.gz")
    write_scan(tmp_path / images / "p2.nii")
    write_scan(tmp_path / images / ".hidden.nii")
    label = write_scan(tmp_path / labels / "p1.nii.gz")
    datalist = load_datalist(tmp_path)
    assert subjects_of(datalist) == ["p1", "p2"]
    assert datalist[0]["label"] == label
    assert "label" not in datalist[1]
    with pytest.raises(ValueError, match=r"p2\.nii has no label"):
        load_datalist(tmp_path, require_labels=True)


@pytest.mark.parametrize(("images", "labels"), [("imagesTr", "labelsTr"), ("images", "labels"), ("", "labels")])
def test_folder_of_dicom_series(tmp_path, images, labels):
    for name in ("patient.10", "patient.9"):
        write_series(tmp_path / images / name, STORED)
    write_scan(tmp_path / images / "patient.8.nii.gz")
    (tmp_path / images / "notes").mkdir()
    label = write_scan(tmp_path / labels / "patient.9.nii.gz")
    datalist = load_datalist(tmp_path)
    assert subjects_of(datalist) == ["patient.8", "patient.9", "patient.10"]
    assert datalist[1] == {"image": str(tmp_path / images / "patient.9"), "label": label, "subject": "patient.9"}


def test_description_that_names_series(tmp_path):
    write_series(tmp_path / "series" / "1.2.3", STORED)
    label = write_scan(tmp_path / "one.nii.gz")
    describe(tmp_path, training=[{"image": "series/1.2.3/", "label": "one.nii.gz"}])
    assert load_datalist(tmp_path, require_labels=True) == [
        {"image": str(tmp_path / "series" / "1.2.3"), "label": label, "subject": "1.2.3"}
    ]


def test_phantom_by_name(tmp_path, monkeypatch, phantom):
    monkeypatch.setattr("common.data.datalists.make_phantom", lambda: phantom)
    datalist = load_datalist("phantom", require_labels=True)
    assert subjects_of(datalist) == [f"phantom_{number:02d}" for number in range(1, 11)]
    assert label_names("phantom")["spleen"] == 4


@pytest.mark.parametrize(
    "labels", [{"0": "background", "2": "spleen", "1": "liver"}, {"background": 0, "spleen": 2, "liver": "1"}]
)
def test_label_names_either_way_round(tmp_path, labels):
    names = label_names(describe(tmp_path, labels=labels))
    assert names == {"background": 0, "liver": 1, "spleen": 2}
    assert list(names.values()) == [0, 1, 2]


def test_label_names_unknown(tmp_path):
    assert label_names(tmp_path) == {}
    assert label_names(describe(tmp_path, training=[])) == {}
    with pytest.raises(ValueError, match=r"dataset\.json: label values must be integers"):
        label_names(describe(tmp_path, labels={"background": 0, "whole": [1, 2]}))


DATALIST = [{"image": f"{name}.nii", "subject": name} for name in ("chaos_01", "chaos_08", "chaos_10", "ct_10")]


def test_select_by_name_or_number_in_the_order_asked_for():
    for same in (8, "8", "chaos_08", ["08"]):
        assert subjects_of(select_subjects(DATALIST, same)) == ["chaos_08"]
    assert subjects_of(select_subjects(DATALIST, ["ct_10", 1, "chaos_01"])) == ["ct_10", "chaos_01"]


def test_a_name_wins_over_a_number():
    datalist = [{"image": "", "subject": "8"}, {"image": "", "subject": "x_8"}]
    assert subjects_of(select_subjects(datalist, 8)) == ["8"]


def test_exclude_keeps_the_order():
    assert subjects_of(exclude_subjects(DATALIST, ["ct_10", 1])) == ["chaos_08", "chaos_10"]
    assert subjects_of(exclude_subjects(DATALIST, [])) == subjects_of(DATALIST)


@pytest.mark.parametrize("choose", [select_subjects, exclude_subjects])
def test_unknown_or_ambiguous_subject(choose):
    with pytest.raises(ValueError, match="subject 7 is unknown; available: chaos_01, chaos_08, chaos_10, ct_10"):
        choose(DATALIST, [1, 7])
    with pytest.raises(ValueError, match="subject 10 fits several subjects; available: chaos_10, ct_10"):
        choose(DATALIST, 10)


def test_missing_folder_and_empty_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere is not a folder: set dataset_dir .* "phantom"'):
        load_datalist(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="holds no scan: expected dataset.json"):
        load_datalist(tmp_path)


def test_missing_files(tmp_path):
    describe(tmp_path, training=[{"image": "a.nii.gz", "label": "b.nii.gz"}])
    with pytest.raises(FileNotFoundError, match=r"a\.nii\.gz is missing"):
        load_datalist(tmp_path)
    write_scan(tmp_path / "a.nii.gz")
    with pytest.raises(FileNotFoundError, match=r"b\.nii\.gz is missing"):
        load_datalist(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a scan", b"\x1f\x8b\x08\x00broken"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_unreadable_scan(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: .*again") as info:
        load_datalist(tmp_path)
    assert one_line(info)


def test_truncated_compressed_scan(tmp_path):
    path = Path(write_scan(tmp_path / "a.nii.gz"))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"a\.nii\.gz: .*again") as info:
        load_datalist(tmp_path)
    assert one_line(info)


def test_label_on_another_grid(tmp_path):
    write_scan(tmp_path / "images" / "a.nii.gz")
    write_scan(tmp_path / "labels" / "a.nii.gz", (4, 4, 3))
    with pytest.raises(ValueError, match=r"labels/a\.nii\.gz has another grid than its image.*\(4, 4, 3\)"):
        load_datalist(tmp_path)


def test_label_stored_in_another_order_of_axes(tmp_path):
    write_scan(tmp_path / "images" / "a.nii.gz", (4, 5, 6))
    write_scan(tmp_path / "labels" / "a.nii.gz", (6, 4, 5))
    assert "label" in load_datalist(tmp_path)[0]


def test_a_damaged_scan_keeps_no_query_back(tmp_path):
    """The one who reads it names it, see the tests of answers."""
    write_scan(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes(b"damaged")
    assert [Path(item["image"]).name for item in query_items(str(tmp_path), None)] == ["a.nii.gz", "b.nii.gz"]


def test_a_dataset_of_the_support_alone_has_no_queries(tmp_path):
    support = write_scan(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="no scan but the support"):
        query_items(str(tmp_path), None, [support])


@pytest.mark.parametrize("value", ["--1", "1-", [1], "x", 1.0, True])
def test_label_value_that_is_no_whole_number(tmp_path, value):
    describe(tmp_path, labels={"liver": value})
    with pytest.raises(InputError, match="label values must be integers"):
        label_names(tmp_path)


def test_empty_path():
    with pytest.raises(InputError, match="dataset_dir is empty"):
        load_datalist("")


def test_two_files_of_one_subject(tmp_path):
    write_scan(tmp_path / "a.nii")
    write_scan(tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match=r"both subject a: rename one"):
        load_datalist(tmp_path)


def test_invalid_description(tmp_path):
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(ValueError, match=r"dataset\.json is not valid JSON"):
        load_datalist(tmp_path)
    describe(tmp_path, training=[{"label": "a.nii"}])
    with pytest.raises(ValueError, match=r"dataset\.json: training entry \{'label': 'a.nii'\} must be"):
        load_datalist(tmp_path)
    describe(tmp_path, labels=["background"])
    with pytest.raises(ValueError, match="not an MSD description"):
        label_names(tmp_path)


def test_empty_section_says_where_scans_are(tmp_path):
    write_scan(tmp_path / "a.nii")
    describe(tmp_path, training=[], test=["a.nii"])
    with pytest.raises(FileNotFoundError, match=r"no scan under 'training', only under \['test'\]"):
        load_datalist(tmp_path)
