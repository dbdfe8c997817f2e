"""DICOM series are read where they lie, and refused by name when anything is wrong with them."""

import itertools
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from common.data.dicom import codecs
from common.data.dicom.series import check_series, holds_series
from common.errors import InputError
from common.transforms import LoadScansd
from tests.dicom.writer import emptied, rotation, values, write_series

STORED = values()
LOAD = LoadScansd("image")
RAS = np.diag([-1.0, -1.0, 1.0])


def world(paths, x, y, z):
    """RAS coordinates in mm of column x, row y of the z-th file, from its tags (PS3.3 C.7.6.2.1.1)."""
    tags = dcmread(paths[z], stop_before_pixels=True)
    row, column = np.reshape(tags.ImageOrientationPatient, (2, 3)).astype(float)
    rows, columns = map(float, tags.PixelSpacing)
    return RAS @ (np.array(tags.ImagePositionPatient, float) + x * columns * row + y * rows * column)


def check_image(folder, paths, stored, rescale=(2, -1024)):
    """Compare the volume that MONAI reads with what was written: each voxel's value at its place in the patient."""
    image = LOAD({"image": str(folder)})["image"]
    assert image.shape == (1, *stored.shape) and image.dtype == torch.float32
    to_index = np.linalg.inv(image.affine.numpy())
    read = image[0].numpy()
    for x, y, z in itertools.product((0, 7, stored.shape[0] - 1), (0, 11, stored.shape[1] - 1), range(len(paths))):
        index = (to_index @ [*world(paths, x, y, z), 1])[:3]
        assert np.allclose(index, index.round(), atol=1e-3)
        assert read[tuple(index.round().astype(int))] == float(stored[x, y, z]) * rescale[0] + rescale[1]
    return image


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEG2000Lossless,
        JPEGLSLossless,
    ],
    ids=lambda syntax: syntax.name,
)
def test_transfer_syntaxes_and_rescale(tmp_path, syntax):
    paths = write_series(tmp_path / "series", STORED, syntax=syntax)
    image = check_image(tmp_path / "series", paths, STORED)
    expected = np.diag([-1.0, -1.5, 3.0, 1.0])
    expected[:3, 3] = [20, -30, -40]
    assert np.allclose(image.affine.numpy(), expected, atol=1e-6)
    assert np.array_equal(image[0].numpy(), STORED * 2.0 - 1024)


def test_jpeg_lossless(tmp_path):
    """GDCM itself is the only encoder at hand."""
    import itk
    from pydicom.encaps import encapsulate, generate_frames

    paths = write_series(tmp_path / "series", STORED)
    for index, path in enumerate(paths):
        writer = itk.GDCMImageIO.New()
        writer.SetCompressionType(itk.GDCMImageIOEnums.Compression_JPEG)
        jpeg = tmp_path / "jpeg.dcm"
        itk.imwrite(itk.image_from_array(STORED[:, :, index].T.copy()), str(jpeg), imageio=writer, compression=True)
        encoded, dataset = dcmread(jpeg), dcmread(path)
        dataset.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
        dataset.PixelData = encapsulate(list(generate_frames(encoded.PixelData, number_of_frames=1)))
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.BitsStored, dataset.HighBit = encoded.BitsStored, encoded.HighBit
        dataset.save_as(path)
    assert encoded.file_meta.TransferSyntaxUID.name.startswith("JPEG Lossless")
    check_image(tmp_path / "series", paths, STORED)


@pytest.mark.parametrize(
    "orientation",
    [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1), rotation(20, 0, 0), rotation(17, -31, 8)],
    ids=["axial", "sagittal", "coronal", "tilted", "oblique"],
)
def test_orientation_and_anisotropic_spacing(tmp_path, orientation):
    paths = write_series(tmp_path / "series", STORED, orientation=orientation, spacing=(0.7, 1.9), step=4.5)
    check_image(tmp_path / "series", paths, STORED)


def test_order_is_by_position_whatever_names_and_numbers_say(tmp_path):
    paths = write_series(tmp_path / "series", STORED, numbers=[3, 0, 4, 1, 2])
    assert [item.path for item in check_series(tmp_path / "series")] == paths
    check_image(tmp_path / "series", paths, STORED)
    downwards = write_series(tmp_path / "down", STORED, step=-3.0)
    assert [item.path for item in check_series(tmp_path / "down")] == downwards[::-1]
    check_image(tmp_path / "down", downwards, STORED)


@pytest.mark.parametrize("rescale", [(1, 0), (0.25, -3.5)])
def test_fractional_rescale(tmp_path, rescale):
    check_image(tmp_path, write_series(tmp_path, STORED, rescale=rescale), STORED, rescale)


def test_each_slice_has_its_own_rescale(tmp_path):
    def rescale(dataset, index):
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 + index / 4, index

    write_series(tmp_path, STORED, change=rescale)
    expected = STORED * (0.5 + np.arange(5) / 4) + np.arange(5)
    assert np.array_equal(LOAD({"image": str(tmp_path)})["image"][0].numpy(), expected.astype(np.float32))


def test_one_slice_and_files_that_are_no_slices(tmp_path):
    paths = write_series(tmp_path, STORED[:, :, :1])
    (tmp_path / "README.txt").write_text("exported")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    check_image(tmp_path, paths, STORED[:, :, :1])


def test_latin_letters(tmp_path):
    def describe(dataset, index):
        dataset.SpecificCharacterSet, dataset.SeriesDescription = "ISO_IR 100", "Sch\u00e4del"

    check_image(tmp_path / "Sch\u00e4del", write_series(tmp_path / "Sch\u00e4del", STORED, change=describe), STORED)


def test_series_with_emptied_uids(tmp_path):
    check_image(tmp_path, write_series(tmp_path, STORED, change=emptied), STORED)


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


def test_small_jitter_of_positions_is_no_gap(tmp_path):
    def jitter(dataset, index):
        dataset.ImagePositionPatient[2] += 0.02 * (-1) ** index

    check_series(write_series(tmp_path, STORED, change=jitter)[0].parent)


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


def test_a_decoder_that_dies_is_replaced(tmp_path):
    """As where a damaged stream ends it; also with another process that holds its pipes."""
    paths = write_series(tmp_path, STORED, syntax=RLELossless)
    check_image(tmp_path, paths, STORED)
    decoder = codecs._decoders[os.getpid()]
    holder = os.fork()
    if holder == 0:
        signal.pause()
    decoder.kill()
    decoder.wait()
    check_image(tmp_path, paths, STORED)
    assert codecs._decoders[os.getpid()].pid != decoder.pid
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)


def with_sequences(dataset, index):
    """Sequences of undefined and of known length, with elements inside that a slice has too."""
    item = Dataset()
    item.Rows, item.PixelSpacing, item.ReferencedImageSequence = 7, [9, 9], [Dataset()]
    dataset.ReferencedImageSequence = [item, item]
    dataset.SourceImageSequence = [item]
    dataset["SourceImageSequence"].is_undefined_length = True
    item.is_undefined_length_sequence_item = True
    dataset.add_new(0x00091001, "UN", b"private")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=["explicit", "implicit"])
def test_elements_in_sequences_are_not_the_slices_own(tmp_path, syntax):
    paths = write_series(tmp_path, STORED, syntax=syntax, change=with_sequences)
    check_image(tmp_path, paths, STORED)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 13), (16, 15)])
def test_bits_that_do_not_count_are_left_out(tmp_path, stored, high, signed):
    values = np.random.default_rng(0).integers(0, 2**16, STORED.shape).astype(np.uint16)

    def bits(dataset, index):
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = stored, high, signed

    write_series(tmp_path, values, rescale=(1, 0), change=bits)
    expected = (values.astype(int) >> (high + 1 - stored)) % 2**stored
    expected = np.where(signed * expected >= 2 ** (stored - 1), expected - 2**stored, expected)
    assert np.array_equal(LOAD({"image": str(tmp_path)})["image"][0].numpy(), expected)


def test_big_endian(tmp_path):
    def swap(dataset, index):
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()

    check_image(tmp_path, write_series(tmp_path, STORED, change=swap), STORED)


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
