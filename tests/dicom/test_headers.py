"""Headers as archives and de-identification leave them: what is known is taken over, what is not is emptied."""

import logging

import highdicom as hd
import numpy as np
import pytest
from monai.data import MetaTensor
from monai.transforms import LoadImage
from pydicom import dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from common.data.dicom.headers import complete
from common.data.dicom.seg_writer import check_headers, write_segmentation
from common.errors import InputError
from tests.dicom.writer import write_series

SHAPE = (6, 5, 2)


def raw(**values):
    """Put values into a header as bytes, whatever the standard says of them; None takes one out."""

    def change(dataset, index):
        for name, value in values.items():
            tag = Tag(tag_for_keyword(name))
            if value is None:
                del dataset[tag]
                continue
            value = stored(value)
            value = b"~" * len(value) if b"\x1b" in value else value  # pydicom would mend it; see ``write``
            dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)

    change.patches = {
        b"~" * len(stored(v)): stored(v) for v in values.values() if v is not None and b"\x1b" in stored(v)
    }
    return change


def stored(value):
    value = value.encode("ascii") if isinstance(value, str) else value
    return value + b" " * (len(value) % 2)


def write(folder, change):
    """Write a series and put bytes into it that pydicom does not write as they are."""
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint16)
    paths = write_series(folder / "series", values, **({"change": change} if change else {}))
    for path in paths:
        for placeholder, value in getattr(change, "patches", {}).items():
            path.write_bytes(path.read_bytes().replace(placeholder, value))
    return paths


def segmentation_of(folder, change, log=None):
    write(folder, change)
    affine = LoadImage(image_only=True, ensure_channel_first=True)(str(folder / "series")).affine
    label = MetaTensor(np.ones((1, *SHAPE), np.int32), affine=affine)
    check_headers(folder / "series", say=(log if log is not None else []).append)
    write_segmentation(folder / "series", label, folder / "seg.dcm", {1: "liver"}, "ADNet", "1", say=lambda line: None)
    assert hd.seg.segread(folder / "seg.dcm").number_of_segments == 1
    return dcmread(folder / "seg.dcm")


def mended(folder, change, lines):
    """Return a header as it is taken over; that a DICOM-SEG can be made of it is checked too."""
    paths = write(folder, change)
    check_headers(folder / "series", say=lines.append)
    header = dcmread(paths[0], stop_before_pixels=True)
    complete([header], folder)
    return header


NAMES = {
    "no set": ({"PatientName": "Doe^Jane"}, "Doe^Jane"),
    "empty": ({"SpecificCharacterSet": "", "PatientName": "Doe^Jane"}, "Doe^Jane"),
    "latin 1": ({"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg".encode("latin-1")}, "Müller^Jörg"),
    "latin 2": ({"SpecificCharacterSet": "ISO_IR 101", "PatientName": "Dvořák^J".encode("iso8859-2")}, "Dvořák^J"),
    "greek": ({"SpecificCharacterSet": "ISO_IR 126", "PatientName": "Διον^Α".encode("iso8859-7")}, "Διον^Α"),
    "cyrillic": ({"SpecificCharacterSet": "ISO_IR 144", "PatientName": "Люк^А".encode("iso8859-5")}, "Люк^А"),
    "utf 8": ({"SpecificCharacterSet": "ISO_IR 192", "PatientName": "Wang^小东".encode()}, "Wang^小东"),
    "gb18030": ({"SpecificCharacterSet": "GB18030", "PatientName": "Wang^小东".encode("gb18030")}, "Wang^小东"),
    "gbk": ({"SpecificCharacterSet": "GBK", "PatientName": "Wang^小东".encode("gbk")}, "Wang^小东"),
    "japanese": (
        {"SpecificCharacterSet": "\\ISO 2022 IR 87", "PatientName": b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"},
        "Yamada^Tarou=山田^太郎",
    ),
    "japanese alone": (
        {"SpecificCharacterSet": "ISO 2022 IR 87", "PatientName": b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"},
        "Yamada^Tarou=山田^太郎",
    ),
    "korean": (
        {"SpecificCharacterSet": "\\ISO 2022 IR 149", "PatientName": b"Hong^G=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"},
        "Hong^G=洪^吉洞",
    ),
    "korean without extensions": (
        {"SpecificCharacterSet": "ISO_IR 149", "PatientName": "홍^길동".encode("euc-kr")},
        "홍^길동",
    ),
    "extension alone": (
        {"SpecificCharacterSet": "ISO 2022 IR 100", "PatientName": "Müller^J".encode("latin-1")},
        "Müller^J",
    ),
    "misspelt": ({"SpecificCharacterSet": "ISO-IR 100", "PatientName": "Müller^J".encode("latin-1")}, "Müller^J"),
    "program's name": ({"SpecificCharacterSet": "UTF-8", "PatientName": "Müller^J".encode()}, "Müller^J"),
    "program's other": ({"SpecificCharacterSet": "latin1", "PatientName": "Müller^J".encode("latin-1")}, "Müller^J"),
    "utf 8 unsaid": ({"PatientName": "Müller^J".encode()}, "Müller^J"),
    "latin 1 unsaid": ({"PatientName": "Müller^J".encode("latin-1")}, "Müller^J"),
    "unknown but ascii": ({"SpecificCharacterSet": "KLINGON", "PatientName": "Doe^Jane"}, "Doe^Jane"),
    "one part": ({"PatientName": "Anonymous"}, "Anonymous"),
    "dcmqi's": ({"SpecificCharacterSet": "", "PatientName": "", "PatientBirthDate": "", "PatientSex": ""}, ""),
}


@pytest.mark.parametrize(("values", "name"), NAMES.values(), ids=NAMES)
def test_names_in_any_character_set_are_kept(tmp_path, values, name):
    lines = []
    assert str(segmentation_of(tmp_path, raw(**values), lines).PatientName) == name
    assert lines == []


KEPT = {
    "PatientSex": [("M", "M"), ("f", "F"), ("Male", "M"), ("o", "O"), ("", None)],
    "PatientBirthDate": [("19500131", "19500131"), ("1950.01.31", "19500131"), ("1950-01-31", "19500131"), ("", None)],
    "StudyDate": [("20260101", "20260101"), ("2026/01/01", "20260101")],
    "StudyTime": [
        *[("12", "12"), ("1230", "1230"), ("123000.1234567", "123000.123456")],
        *[("12:30:00", "123000"), ("12:30", "1230"), ("", None)],
    ],
    "PatientAge": [("45Y", "045Y"), ("007m", "007M")],
    "AccessionNumber": [("1234567890123456789", "1234567890123456789")],
    "PatientID": [("x" * 80, "x" * 80)],
}
EMPTIED = {
    "PatientSex": ["X", "U", "unknown"],
    "PatientBirthDate": ["1950", "19xx", "ANONYMIZED", "00000000", "19501350", "195001"],
    "StudyDate": ["2026", "20260101120000"],
    "StudyTime": ["25", "12.30", "noon"],
    "PatientAge": ["45", "old"],
    "PatientWeight": ["72,5"],
    "PatientName": ["Doe\\Jane"],
}


@pytest.mark.parametrize(("name", "value", "kept"), [(name, *pair) for name, pairs in KEPT.items() for pair in pairs])
def test_legacy_forms_are_taken_over(tmp_path, name, value, kept):
    lines = []
    found = mended(tmp_path, raw(**{name: value}), lines).get(name)
    assert (str(found) if found not in (None, "") else None) == kept
    assert lines == []


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in EMPTIED.items() for value in values])
def test_what_nobody_understands_is_emptied_and_said_before_the_segmentation(tmp_path, name, value):
    lines = []
    assert not mended(tmp_path, raw(**{name: value}), lines).get(name)
    assert len(lines) == 1 and f"{name} {value!r} cannot be understood" in lines[0] and "\n" not in lines[0]


def test_a_series_number_that_is_none(tmp_path):
    assert segmentation_of(tmp_path, raw(SeriesNumber="three")).SeriesNumber == 1000


def test_a_name_in_an_unknown_character_set_is_emptied(tmp_path):
    lines = []
    values = {"SpecificCharacterSet": "KLINGON", "PatientName": "Müller^J".encode("latin-1")}
    assert segmentation_of(tmp_path, raw(**values), lines).PatientName == ""
    assert "PatientName" in lines[0]


def test_text_in_sequences_is_in_the_same_character_set(tmp_path):
    from pydicom.dataset import Dataset

    def change(dataset, index):
        dataset.SpecificCharacterSet = "ISO_IR 100"
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "Schädel"
        dataset.ProcedureCodeSequence = [code]

    assert segmentation_of(tmp_path, change).ProcedureCodeSequence[0].CodeMeaning == "Schädel"


def test_what_cannot_be_referred_to_is_said_before_and_refused_after(tmp_path, caplog):
    write(tmp_path, None)
    for path in (tmp_path / "series").iterdir():
        dataset = dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = ""
        dataset.save_as(path, enforce_file_format=False)
    with caplog.at_level(logging.WARNING):
        check_headers(tmp_path / "series")
    assert "SOP Instance UID cannot be referred to" in caplog.text and "label map will be written" in caplog.text


def test_a_file_is_refused(tmp_path):
    (tmp_path / "scan.nii.gz").touch()
    with pytest.raises(InputError, match="refers to a DICOM series"):
        check_headers(tmp_path / "scan.nii.gz")
