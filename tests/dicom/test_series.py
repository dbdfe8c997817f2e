"""DICOM series are read where they lie, each voxel at its place in the patient."""

import itertools
import os
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
from common.data.dicom.series import check_series
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


def test_small_jitter_of_positions_is_no_gap(tmp_path):
    def jitter(dataset, index):
        dataset.ImagePositionPatient[2] += 0.02 * (-1) ** index

    check_series(write_series(tmp_path, STORED, change=jitter)[0].parent)


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
