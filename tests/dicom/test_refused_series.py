"""DICOM series with anything wrong are refused in one line that names the file."""

import shutil

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from common.data.dicom.series import check_series, holds_series
from common.errors import InputError
from common.transforms import LoadScansd
from tests.dicom.writer import emptied, rotation, values, write_series

STORED = values()
LOAD = LoadScansd("image")


def refused(folder):
    """Return the one line of a refusal."""
    with pytest.raises(InputError) as failure:
        LOAD({"image": str(folder)})
    message = str(failure.value)
    assert message.startswith(str(folder)) and "\n" not in message
    return message


def test_no_series(tmp_path):
    assert "no DICOM files in this folder; name the folder of a series" in refused(tmp_path)
    write_series(tmp_path / "study" / "series", STORED)
    assert f"name the folder of one series, such as {tmp_path / 'study' / 'series'}" in refused(tmp_path / "study")
    assert holds_series(tmp_path / "study" / "series") and not holds_series(tmp_path / "study")


def test_one_file_of_a_series(tmp_path):
    path = write_series(tmp_path, STORED)[0]
    assert refused(path) == f"{path}: one DICOM file; name the folder {tmp_path} that holds its series"


@pytest.mark.parametrize("change", [lambda dataset, index: None, emptied], ids=["uids", "emptied"])
def test_missing_slice(tmp_path, change):
    write_series(tmp_path, STORED, change=change)[2].unlink()
    message = refused(tmp_path)
    assert "missing or misplaced after slice_01.dcm" in message
    assert "6.00 mm on, from -37.00 to -31.00 mm, elsewhere 3.00 mm" in message


@pytest.mark.parametrize(
    "other",
    [
        {"orientation": rotation(0, 0, 30)},
        {"spacing": (1.0, 1.0)},
        {"stored": STORED[:, :32]},
        {"description": "other", "position": (-20.0, 30.0, -25.0)},
        {"uid": "1.2.826.0.1.3680043.10.511.2", "position": (-20.0, 30.0, -25.0)},
    ],
    ids=["orientation", "spacing", "size", "description", "uid"],
)
@pytest.mark.parametrize("change", [lambda dataset, index: None, emptied], ids=["uids", "emptied"])
def test_mixed_series(tmp_path, other, change):
    write_series(tmp_path, STORED, name="a_{}.dcm", change=change)
    stored = {"stored": STORED, **other}
    write_series(tmp_path, name="b_{}.dcm", change=change, **{**stored, "stored": stored["stored"][:, :, :3]})
    if change is emptied and "uid" in other:
        assert len(check_series(tmp_path)) == 8  # continues the first where it ends: nothing tells them apart
        return
    message = refused(tmp_path)
    assert "2 series are mixed (5 slices like a_0.dcm, 3 slices like b_0.dcm)" in message


def test_phases_at_the_same_positions(tmp_path):
    write_series(tmp_path, STORED, name="a_{}.dcm", change=emptied)
    write_series(tmp_path, STORED, name="b_{}.dcm", change=emptied)
    message = refused(tmp_path)
    assert "a_0.dcm and b_0.dcm are at one position, -40.00 mm" in message


def test_series_of_two_days(tmp_path):
    def date(dataset, index):
        dataset.SeriesDate = "20260101" if index < 3 else "20260102"

    write_series(tmp_path, STORED, change=date)
    assert "2 series are mixed (3 slices like slice_00.dcm, 2 slices like slice_03.dcm)" in refused(tmp_path)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize("kept", [0, 0.05, 0.5, 0.98])
def test_truncated_file(tmp_path, syntax, kept):
    """At an end of the series no gap would show it."""
    path = write_series(tmp_path, STORED, syntax=syntax)[-1]
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    message = refused(tmp_path)
    assert message.startswith(f"{path}: ") and "copy it again" in message


def test_header_without_pixels(tmp_path):
    path = write_series(tmp_path, STORED)[0]
    dataset = dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    assert refused(tmp_path).startswith(f"{path}: ")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.51"], ids=["mpeg2", "jpeg"])
def test_transfer_syntax_that_itk_cannot_decode(tmp_path, syntax):
    def claim(dataset, index):
        if index == 1:
            dataset.compress(RLELossless, generate_instance_uid=False)
            dataset.file_meta.TransferSyntaxUID = syntax

    path = write_series(tmp_path, STORED, change=claim)[1]
    assert refused(tmp_path).startswith(f"{path}: ITK cannot decode its pixel data (transfer syntax {syntax})")


def test_transfer_syntax_that_nobody_knows(tmp_path):
    path = write_series(tmp_path, STORED, syntax=RLELossless)[1]
    path.write_bytes(path.read_bytes().replace(RLELossless.encode(), b"1.2.840.10008.1.2.9"))
    message = refused(tmp_path)
    assert message.startswith(f"{path}: ") and "transfer syntax 1.2.840.10008.1.2.9" in message


def sheared(dataset, index):
    dataset.ImagePositionPatient[1] += 0.8 * index


def many_frames(dataset, index):
    dataset.NumberOfFrames, dataset.PixelData = 2, dataset.PixelData * 2


def without_position(dataset, index):
    del dataset.ImagePositionPatient


def changed(**attributes):
    """Change attributes of the third slice."""

    def change(dataset, index):
        if index == 2:
            for name, value in attributes.items():
                setattr(dataset, name, value)

    return change


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"Rows": 41}, "48 columns and 41 rows of 16 bits, 3936 bytes, but 3840 bytes of pixels are there"),
        ({"Columns": 24}, "24 columns and 40 rows of 16 bits, 1920 bytes, but 3840"),
        ({"Rows": 65535, "Columns": 65535}, "65535 columns and 65535 rows"),
        ({"Rows": 0}, "48 columns and 0 rows"),
        ({"RescaleSlope": 0}, "Rescale Slope is '0.0'"),
        ({"RescaleSlope": [1, 2]}, "Rescale Slope is"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "a colour image (PALETTE COLOR)"),
        ({"PhotometricInterpretation": "YBR_FULL"}, "a colour image (YBR_FULL)"),
        ({"SamplesPerPixel": 3}, "a colour image"),
        ({"BitsAllocated": 12}, "12 of 12 bits"),
        ({"BitsStored": 17}, "17 of 16 bits"),
        ({"BitsStored": 0}, "0 of 16 bits"),
        ({"PixelSpacing": [0, 1]}, "Pixel Spacing"),
        ({"PixelSpacing": [1]}, "Pixel Spacing is '1.0', 2 numbers are needed"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "holds no two unit vectors"),
    ],
)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def test_headers_that_do_not_fit_the_pixels(tmp_path, syntax, attributes, words):
    path = write_series(tmp_path, STORED, syntax=syntax, change=changed(**attributes))[2]
    message = refused(tmp_path)
    assert message.startswith(f"{path}: ") and words in message


def test_compressed_pixels_that_ask_for_gigabytes(tmp_path):
    path = write_series(tmp_path, STORED, syntax=RLELossless, change=changed(Rows=65535, Columns=65535))[2]
    assert refused(tmp_path).startswith(f"{path}: its header promises 8590 MB in")
    path = write_series(tmp_path / "b", STORED, syntax=RLELossless, change=changed(Rows=41))[2]
    assert refused(tmp_path / "b").startswith(f"{tmp_path / 'b'}: 2 series are mixed")
    path = write_series(tmp_path / "c", STORED[:, :, :1], syntax=RLELossless)[0]
    damaged = bytearray(path.read_bytes())
    damaged[-600:] = bytes(range(200)) * 3
    path.write_bytes(damaged)
    assert "copy it again" in refused(tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (sheared, "sheared by up to 3.20 mm (tilted gantry)"),
        (many_frames, "slice_00.dcm: 2 frames in one file"),
        (without_position, "slice_00.dcm: Image Position (Patient) is '', 3 numbers are needed"),
    ],
)
def test_series_that_would_be_misread(tmp_path, change, words):
    write_series(tmp_path, STORED, change=change)
    message = refused(tmp_path)
    assert words in message and "dcm2niix" in message


@pytest.mark.real_data
def test_real_series(real_data, tmp_path):
    folder = real_data / "totalsegmentator" / "ct_dicom"
    order = [item.path for item in check_series(folder)]
    assert len(order) == 20 and order == sorted(folder.iterdir(), reverse=True)
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / order[8].name).unlink()
    assert f"after {order[7].name}: the next one follows 4.00 mm on" in refused(copy)
