from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.data import exclude_subjects, label_names, load_datalist, select_subjects
from common.errors import InputError
from tests.dicom.writer import values, write_series

STORED = values((8, 6, 2))


def write_scan(path: Path, shape: tuple[int, ...] = (4, 4, 2)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), path)
    return str(path)


def describe(folder: Path, **entries) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(entries))
    return folder


def subjects_of(datalist) -> list[str]:
    return [item["subject"] for item in datalist]


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


def one_line(info: pytest.ExceptionInfo[BaseException]) -> bool:
    return "\n" not in str(info.value)


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


def test_description_with_a_byte_order_mark(tmp_path):
    write_scan(tmp_path / "a.nii.gz")
    text = json.dumps({"labels": {"background": 0, "Milz": 1}, "training": ["a.nii.gz"]})
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "dataset.json").write_bytes(text.encode(encoding))
        assert subjects_of(load_datalist(tmp_path)) == ["a"]
        assert label_names(tmp_path) == {"background": 0, "Milz": 1}


@pytest.mark.parametrize("outside", ["../other/a.nii.gz", "link/a.nii.gz", "images/../../other/a.nii.gz", "absolute"])
def test_description_may_not_reach_outside(tmp_path, outside):
    other = write_scan(tmp_path / "other" / "a.nii.gz")
    write_scan(tmp_path / "set" / "images" / "b.nii.gz")
    (tmp_path / "set" / "link").symlink_to(tmp_path / "other")
    path = other if outside == "absolute" else outside
    for entry in (path, {"image": "images/b.nii.gz", "label": path}):
        describe(tmp_path / "set", training=[entry])
        with pytest.raises(InputError, match=r"a\.nii\.gz lies outside of the folder.*allow_outside") as info:
            load_datalist(tmp_path / "set")
        assert one_line(info)
        assert len(load_datalist(tmp_path / "set", allow_outside=True)) == 1


def test_a_linked_dataset_and_links_inside_are_not_outside(tmp_path):
    write_scan(tmp_path / "set" / "store" / "1.nii.gz")
    (tmp_path / "set" / "a.nii.gz").symlink_to("store/1.nii.gz")
    describe(tmp_path / "set", training=["./a.nii.gz"])
    (tmp_path / "link").symlink_to("set")
    assert subjects_of(load_datalist(tmp_path / "link")) == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        [],
        None,
        "text",
        {"training": {"image": "a.nii"}},
        {"training": [5]},
        {"training": [None]},
        {"training": [["a.nii", "b.nii"]]},
        {"training": [{"image": 5}]},
        {"training": [{"image": []}]},
        {"training": [{"image": ["a.nii", 5]}]},
        {"training": [{"image": "a.nii", "label": 5}]},
        {"training": [{"image": ""}]},
        {"training": ["a\0.nii"]},
        {"training": ["\ud800.nii"]},
        {"training": 5},
        {"test": "a.nii", "training": ["a.nii"]},
        {"channel_names": ["T1"]},
        {"file_ending": 5},
        {"channel_names": {"0": "T1"}, "file_ending": ".png"},
        {"channel_names": {"0": "T1"}, "numTraining": "three"},
        {"dataset": []},
        {"dataset": {"a": 5}},
        {"labels": 5, "training": ["a.nii"]},
    ],
)
def test_wrong_types_in_a_description_get_one_line(tmp_path, content):
    write_scan(tmp_path / "a.nii")
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"dataset\.json") as info:
        load_datalist(tmp_path)
    assert one_line(info) and len(str(info.value)) < 400


@pytest.mark.parametrize(
    "labels", [{"liver": 1.7}, {"liver": True}, {"liver": None}, {"liver": {}}, {"1": 2}, {"liver": "x"}, {"liver": ""}]
)
def test_label_values_that_are_no_integers(tmp_path, labels):
    with pytest.raises(InputError, match="label values must be integers"):
        label_names(describe(tmp_path, labels=labels))


def test_deeply_nested_description(tmp_path):
    (tmp_path / "dataset.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not valid JSON"):
        load_datalist(tmp_path)


def write_channels(folder: Path, subjects: dict[str, list[str]], ending: str = ".nii.gz") -> None:
    for subject, numbers in subjects.items():
        for number in numbers:
            write_scan(folder / "imagesTr" / f"{subject}_{number}{ending}")
        write_scan(folder / "labelsTr" / f"{subject}{ending}")


def test_nnunet_2(tmp_path):
    write_channels(tmp_path, {"c_001": ["0000"], "c_002": ["0000"]})
    write_scan(tmp_path / "imagesTs" / "c_003_0000.nii.gz")
    describe(tmp_path, channel_names={"0": "MRI"}, labels={"background": 0}, numTraining=2, file_ending=".nii.gz")
    assert load_datalist(tmp_path, require_labels=True) == [
        {
            "image": str(tmp_path / "imagesTr" / f"{name}_0000.nii.gz"),
            "label": str(tmp_path / "labelsTr" / f"{name}.nii.gz"),
            "subject": name,
        }
        for name in ("c_001", "c_002")
    ]
    assert subjects_of(load_datalist(tmp_path, section="test")) == ["c_003"]
    (tmp_path / "imagesTr" / "c_002_0000.nii.gz").unlink()
    with pytest.raises(InputError, match=r"1 subjects, dataset\.json says numTraining 2: restore"):
        load_datalist(tmp_path)
    write_scan(tmp_path / "imagesTr" / "c_002.nii.gz")
    with pytest.raises(InputError, match=r"scan c_002 has no channel number.*c_002_0000"):
        load_datalist(tmp_path)


def test_nnunet_2_with_files_of_another_ending(tmp_path):
    write_channels(tmp_path, {"c1": ["0000"]})
    describe(tmp_path, channel_names={"0": "MRI"}, file_ending=".nrrd")
    with pytest.raises(InputError, match=r"c1_0000\.nii\.gz: dataset\.json says that files end in \.nrrd"):
        load_datalist(tmp_path)


def test_nnunet_2_that_lists_its_files(tmp_path):
    for name in ("raw/t1.nii.gz", "raw/t2.nii.gz", "seg.nii.gz"):
        write_scan(tmp_path / name)
    files = {"images": ["raw/t1.nii.gz", "raw/t2.nii.gz"], "label": "seg.nii.gz"}
    describe(tmp_path, channel_names={"0": "T1", "1": "T2"}, numTraining=1, file_ending=".nii.gz", dataset={"p": files})
    with pytest.raises(InputError, match=r"2 channels of subjects such as t1, 0 \(T1\), 1 \(T2\): choose one"):
        load_datalist(tmp_path)
    (item,) = load_datalist(tmp_path, channel="t2")
    assert item["image"] == str(tmp_path / "raw/t2.nii.gz") and item["label"] == str(tmp_path / "seg.nii.gz")


def test_nnunet_1(tmp_path):
    """Its list names the scans without the numbers of their channels."""
    write_channels(tmp_path, {"c1": ["0000", "0001"], "c2": ["0000", "0001"]})
    training = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in ("c1", "c2")]
    describe(tmp_path, modality={"0": "T1", "1": "FLAIR"}, training=training, numTraining=2)
    with pytest.raises(
        InputError, match=r"2 channels of subjects such as c1, 0 \(T1\), 1 \(FLAIR\).*--channel"
    ) as info:
        load_datalist(tmp_path)
    assert one_line(info)
    for channel in (1, "1", "0001", "FLAIR", "flair"):
        items = load_datalist(tmp_path, require_labels=True, channel=channel)
        assert subjects_of(items) == ["c1", "c2"]
        assert [Path(item["image"]).name for item in items] == ["c1_0001.nii.gz", "c2_0001.nii.gz"]


@pytest.mark.parametrize("described", [False, True])
def test_channels_are_no_subjects(tmp_path, described):
    write_channels(tmp_path, {"c0": ["0000", "0001"], "c1": ["0000", "0001"]})
    if described:
        files = [{"image": f"imagesTr/{n}_{c}.nii.gz", "label": f"labelsTr/{n}.nii.gz"}
                 for n in ("c0", "c1") for c in ("0000", "0001")]  # fmt: skip
        describe(tmp_path, training=files)
    with pytest.raises(InputError, match=r"2 channels of subjects such as c0, 0, 1: choose one with channel"):
        load_datalist(tmp_path)
    items = load_datalist(tmp_path, require_labels=True, channel=0)
    assert [Path(item["image"]).name for item in items] == ["c0_0000.nii.gz", "c1_0000.nii.gz"]


@pytest.mark.parametrize("channel", [2, "T9", True, 1.5, [1]])
def test_a_channel_that_is_not_there(tmp_path, channel):
    write_channels(tmp_path, {"c0": ["0000", "0001"], "c1": ["0000"]})
    with pytest.raises(InputError, match=r"no channel .* of c0 and others; channels are 0, 1"):
        load_datalist(tmp_path, channel=channel)
    with pytest.raises(InputError, match=r"no channel 1 of c1; channels are 0, 1"):
        load_datalist(tmp_path, channel=1)
    assert len(load_datalist(tmp_path, channel=0)) == 2


def test_a_subject_with_another_channel_only(tmp_path):
    """One scan each, and of different contrasts."""
    write_channels(tmp_path, {"c0": ["0000"], "c1": ["0001"]})
    with pytest.raises(InputError, match="choose one"):
        load_datalist(tmp_path)


def test_four_digits_are_no_channel_where_the_label_map_has_them(tmp_path):
    for number in ("0000", "0001", "0002"):
        write_scan(tmp_path / "imagesTr" / f"p_{number}.nii.gz")
        write_scan(tmp_path / "labelsTr" / f"p_{number}.nii.gz")
    assert subjects_of(load_datalist(tmp_path, require_labels=True)) == ["p", "p_0001", "p_0002"]
    assert subjects_of(load_datalist(tmp_path, channel=0)) == ["p", "p_0001", "p_0002"]


def test_unlabelled_scans_with_numbers_are_asked_about(tmp_path):
    for number in ("0000", "0001"):
        write_scan(tmp_path / f"p_{number}.nii.gz")
    with pytest.raises(InputError, match=r"scans of different subjects must be renamed"):
        load_datalist(tmp_path)


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


def test_label_map_of_another_name_in_its_folder(tmp_path):
    write_scan(tmp_path / "imagesTr" / "img0001.nii.gz")
    label = write_scan(tmp_path / "labelsTr" / "label0001.nii.gz")
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
