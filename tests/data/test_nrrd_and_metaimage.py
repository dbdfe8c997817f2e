"""NRRD and MetaImage files become the volume that ITK reads, or one line that says what is wrong with them."""

import itk
import numpy as np
import pytest
from monai.data import ITKReader

from common.data.reading import read_label, read_scan, scan_shape
from common.errors import InputError

SHAPE = (7, 6, 5)


def values(dtype=np.int16):
    return np.random.default_rng(0).integers(0, 900, SHAPE).astype(dtype)


def refused(path):
    """Return the one line of a refusal."""
    with pytest.raises(InputError) as failure:
        read_scan(path)
    message = str(failure.value)
    assert str(path) in message and "\n" not in message and len(message) < 400
    return message


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "compressed"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "A.NRRD", "A.MHA"])
def test_nrrd_and_metaimage_read_as_itk_does(tmp_path, name, dtype, compressed):
    image = itk.image_from_array(np.ascontiguousarray((values() % 250).astype(dtype).T))
    image.SetSpacing([0.5, 2.0, 3.0])
    image.SetOrigin([4.0, 5.0, -6.0])
    axes = np.array([[0.6, 0, 0.8], [0.8, 0, -0.6], [0, 1, 0]])
    image.SetDirection(itk.matrix_from_array(axes))
    itk.imwrite(image, str(tmp_path / name.lower()), compression=compressed)
    reader = ITKReader()
    expected, meta = reader.get_data(reader.read(str(tmp_path / name.lower())))
    (tmp_path / name.lower()).rename(tmp_path / name)
    scan = read_scan(tmp_path / name)
    assert np.array_equal(scan[0].numpy(), expected)
    assert np.allclose(scan.affine.numpy(), meta["affine"], atol=1e-6)
    assert scan_shape(tmp_path / name) == SHAPE


def write_nrrd(path, fields, data=None, **other):
    fields = {
        "type": "short",
        "dimension": 3,
        "sizes": "7 6 5",
        "endian": "little",
        "encoding": "raw",
        "space": "left-posterior-superior",
        "space directions": "(1,0,0) (0,2,0) (0,0,3)",
        **fields,
    }
    lines = "".join(f"{name}: {value}\n" for name, value in fields.items() if value is not None)
    data = values("<i2").tobytes("F") if data is None else data
    path.write_bytes(f"NRRD0004\n# made here\n{lines}key:=value\n\n".encode() + data)
    return path


@pytest.mark.parametrize(
    ("fields", "diagonal"),
    [
        ({}, (-1, -2, 3)),
        ({"space": "RAS"}, (1, 2, 3)),
        ({"space": "left-anterior-superior"}, (-1, 2, 3)),
        ({"space": None, "space directions": None, "spacings": "4 5 6"}, (-4, -5, 6)),
        ({"space units": '"um" "um" "um"'}, (-0.001, -0.002, 0.003)),
        ({"dimension": 4, "sizes": "1 7 6 5", "space directions": "none (1,0,0) (0,2,0) (0,0,3)"}, (-1, -2, 3)),
    ],
    ids=["lps", "ras", "las", "spacings", "micrometres", "one channel"],
)
def test_nrrd_spaces(tmp_path, fields, diagonal):
    scan = read_scan(write_nrrd(tmp_path / "a.nrrd", fields))
    assert np.allclose(scan.affine.numpy(), np.diag([*diagonal, 1]))
    assert np.array_equal(scan[0].numpy(), values())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sizes": "70000 60000 50000"}, "more than 1.1e+09"),
        ({"sizes": "700 600 500"}, "truncated, its header promises 420000000 bytes"),
        ({"sizes": "7 6 0"}, "7 x 6 x 0 voxels"),
        ({"sizes": "7 x 5"}, "sizes is '7 x 5', 3 numbers are needed"),
        ({"sizes": None}, "its header has no sizes"),
        ({"type": "block"}, "its type is 'block'"),
        ({"encoding": "hex"}, "its encoding is 'hex'"),
        ({"encoding": "gzip"}, "truncated or damaged"),
        ({"encoding": "bzip2"}, "truncated or damaged"),
        ({"space directions": "(1,0,0) (2,0,0) (0,0,3)"}, "not invertible"),
        ({"space directions": "(1,0,0) (nan,2,0) (0,0,3)"}, "space directions is"),
        ({"space": "right-posterior-superior"}, "its space is 'right-posterior-superior'"),
        ({"space": "right-anterior-superior-time"}, "its space is"),
        ({"byte skip": "-5"}, "byte skip -5"),
        ({"data file": "../a.raw"}, "copy this file beside the header"),
        ({"data file": "/dev/zero"}, "copy this file beside the header"),
        ({"data file": "a%03d.raw 1 5 1"}, "several files"),
        ({"data file": "gone.raw"}, "no file"),
        ({"dimension": 4, "sizes": "7 6 5 2", "space directions": None, "spacings": "1 1 1 1"}, "4D with 2 volumes"),
        ({"dimension": 4, "sizes": "2 7 6 5", "space directions": "none (1,0,0) (0,2,0) (0,0,3)"}, "4D with 2 volumes"),
    ],
)
def test_unusable_nrrd(tmp_path, fields, words):
    assert words in refused(write_nrrd(tmp_path / "a.nrrd", fields))


def write_metaimage(path, fields):
    fields = {"ObjectType": "Image", "NDims": 3, "DimSize": "7 6 5", "ElementType": "MET_SHORT", **fields}
    fields = {**fields, "ElementDataFile": fields.get("ElementDataFile", "LOCAL")}
    lines = "".join(f"{name} = {value}\n" for name, value in fields.items() if value is not None)
    path.write_bytes(lines.encode() + values("<i2").tobytes("F"))
    return path


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"DimSize": "70000 60000 50000"}, "more than 1.1e+09"),
        ({"DimSize": "700 600 500"}, "truncated, its header promises 420000000 bytes"),
        ({"DimSize": "7 -6 5"}, "7 x -6 x 5 voxels"),
        ({"DimSize": None}, "no MetaImage header"),
        ({"NDims": "100"}, "100 numbers are needed"),
        ({"NDims": "2", "DimSize": "7 30"}, "has 2 dimensions"),
        ({"ElementType": "MET_STRING"}, "1 channels of MET_STRING"),
        ({"ElementNumberOfChannels": "3"}, "3 channels of MET_SHORT"),
        ({"CompressedData": "True"}, "truncated or damaged"),
        ({"BinaryData": "False"}, "its voxels are text"),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, "not invertible"),
        ({"ElementSpacing": "1 1 0"}, "not invertible"),
        ({"Offset": "1 2"}, "3 numbers are needed"),
        ({"ElementDataFile": "LIST"}, "several files"),
        ({"ElementDataFile": "/dev/zero"}, "copy this file beside the header"),
    ],
)
def test_unusable_metaimages(tmp_path, fields, words):
    assert words in refused(write_metaimage(tmp_path / "a.mha", fields))


def test_metaimage_units(tmp_path):
    path = write_metaimage(tmp_path / "a.mha", {"DistanceUnits": "cm", "ElementSpacing": "0.1 0.2 0.3"})
    assert np.allclose(read_scan(path).affine.numpy(), np.diag([-1, -2, 3, 1]))


def test_checksums_of_compressed_voxels(tmp_path):
    image = itk.image_from_array(np.ascontiguousarray(values().T))
    for name in ("a.mha", "a.nrrd"):
        itk.imwrite(image, str(tmp_path / name), compression=True)
        content = bytearray((tmp_path / name).read_bytes())
        content[-3] ^= 4  # in the checksum
        (tmp_path / name).write_bytes(content)
        assert "truncated or damaged" in refused(tmp_path / name)


def test_overlapping_segments_of_slicer_are_refused_with_their_way_out(tmp_path):
    """3D Slicer stores segments that overlap in layers, in front of the volume's own axes."""
    lines = ["NRRD0004", "type: unsigned char", "dimension: 4", "space: left-posterior-superior", "sizes: 2 4 4 4"]
    lines += ["space directions: none (1,0,0) (0,1,0) (0,0,1)", "space origin: (0,0,0)", "encoding: raw"]
    path = tmp_path / "a.seg.nrrd"
    path.write_bytes("\n".join([*lines, "Segment0_Name:=liver", "", ""]).encode() + bytes(128))
    with pytest.raises(
        InputError, match="its segments overlap, in 2 layers; in 3D Slicer, export the segmentation as a"
    ):
        read_label(path)
