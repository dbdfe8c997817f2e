"""What dataset.json says, and channels: Decathlon, nnU-Net 1 and 2, malformed files, files outside of the folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.data import label_names, load_datalist
from common.errors import InputError
from tests.data.folders import describe, one_line, subjects_of, write_channels, write_scan


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


@pytest.mark.parametrize("channel", ["", " ", "T2", -1])
def test_channel_that_is_none_or_two(tmp_path, channel):
    write_channels(tmp_path, {"c1": ["0000", "0001"]})
    describe(tmp_path, channel_names={"0": "T2", "1": "t2"}, file_ending=".nii.gz")
    with pytest.raises(InputError, match=r"channels are|2 channels are called 'T2'; choose by number"):
        load_datalist(tmp_path, channel=channel)


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


def test_a_description_that_is_a_broken_link_is_named(tmp_path):
    write_scan(tmp_path / "a.nii.gz")
    (tmp_path / "dataset.json").symlink_to("gone.json")
    with pytest.raises(FileNotFoundError, match="dataset.json"):
        load_datalist(tmp_path)
