"""NIfTI files become the right volume, or one line that says what is wrong with them."""

import gzip
import os
import shutil
import struct

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import LoadImage

from common.data.formats.nifti import nifti_header
from common.data.reading import check_resampling, read_label, read_scan, scan_shape, stem
from common.errors import InputError
from common.transforms import LoadScansd, SafeSpacingd

SHAPE = (7, 6, 5)
AFFINE = np.array([[-1.5, 0.1, 0, 10], [0.1, 2, 0.2, -20], [0, -0.2, 3, 30], [0, 0, 0, 1]])


def values(dtype=np.int16):
    return np.random.default_rng(0).integers(0, 900, SHAPE).astype(dtype)


def save(path, array, affine=AFFINE, kind=nib.Nifti1Image, **header):
    image = kind(array, affine)
    for name, value in header.items():
        getattr(image if name.endswith("form") else image.header, f"set_{name}")(*value)
    nib.save(image, path)
    return path


def refused(path, read=read_scan):
    """Return the one line of a refusal."""
    with pytest.raises(InputError) as failure:
        read(path)
    message = str(failure.value)
    assert str(path) in message and "\n" not in message and len(message) < 450
    return message


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ", "a.Nii"])
def test_nifti_reads_as_monai_does(tmp_path, name, kind):
    lower = save(tmp_path / name.lower(), values(), kind=kind, slope_inter=(0.5, -3.25))
    expected = LoadImage(image_only=True, ensure_channel_first=True)(lower)
    scan = read_scan(lower.rename(tmp_path / name))
    assert torch.equal(scan.as_tensor(), expected.as_tensor()) and scan.is_contiguous()
    assert scan.dtype == torch.float32 and torch.equal(scan.affine, expected.affine)
    for key in ("original_affine", "spatial_shape", "space"):
        assert np.array_equal(scan.meta[key], expected.meta[key])
    assert scan.meta["filename_or_obj"] == str(tmp_path / name)
    assert scan_shape(tmp_path / name) == SHAPE and stem(tmp_path / name) == name[:1]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("code", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_number_type(tmp_path, code, order):
    array = (values() % 100).astype(order + code)
    image = nib.Nifti1Image(array, AFFINE, nib.Nifti1Header(endianness=order), dtype=array.dtype)
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(read_scan(tmp_path / "a.nii.gz")[0].numpy(), array)


def test_compression_is_found_whatever_the_name_says(tmp_path):
    path = save(tmp_path / "a.nii", values())
    (tmp_path / "b.nii.gz").write_bytes(path.read_bytes())
    (tmp_path / "c.nii").write_bytes(gzip.compress(path.read_bytes()))
    for name in ("b.nii.gz", "c.nii"):
        assert np.array_equal(read_scan(tmp_path / name)[0].numpy(), values())


# ------------------------------------------------------------------------------------------------ damaged NIfTI files


def test_damaged_files(tmp_path):
    path = save(tmp_path / "a.nii.gz", values())
    content = path.read_bytes()
    for name, changed, words in [
        ("truncated", content[: len(content) // 2], "truncated or damaged"),
        ("no trailer", content[:-8], "truncated or damaged"),
        ("checksum", content[:-8] + b"\0\0\0\0" + content[-4:], "CRC check failed"),
        ("flipped", content[:-60] + bytes([content[-60] ^ 1]) + content[-59:], "truncated or damaged"),
        ("empty", b"", "the file is empty"),
        ("text", b"a note\n" * 100, "no NIfTI header"),
        ("compressed text", gzip.compress(b"a note\n" * 100), "no NIfTI header"),
        ("header alone", gzip.compress(gzip.decompress(content)[:352]), "truncated, its header promises 772 bytes"),
        ("cut before compression", gzip.compress(gzip.decompress(content)[:-2]), "truncated, its header promises 772"),
        ("garbage behind", content + b"garbage", "truncated or damaged"),
        ("longer than promised", gzip.compress(gzip.decompress(content) + bytes(2000)), "longer than the 772 bytes"),
    ]:
        path.write_bytes(changed)
        assert words in refused(path), name
    for length, words in ((-2, "truncated, its header promises 772 bytes"), (2000, "772 bytes and 2772 are there")):
        (tmp_path / "b.nii").write_bytes((gzip.decompress(content) + bytes(2000))[: 772 + length])
        assert words in refused(tmp_path / "b.nii")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    assert "neither a file nor a folder" in refused(tmp_path / "pipe.nii")
    assert "no DICOM files in this folder" in refused(tmp_path)
    path = save(tmp_path / "a.nii.gz", values())
    path.chmod(0)
    if not os.access(path, os.R_OK):
        assert "cannot be read (Permission denied)" in refused(path)


def test_other_files(tmp_path):
    for name in ("note.txt", "a.png", "no_extension"):
        (tmp_path / name).write_text("a note")
        assert "not a file of a scan; give .nii.gz, .nii, .nrrd" in refused(tmp_path / name)
    assert refused(tmp_path / "gone.nii") == f"no file {tmp_path / 'gone.nii'}; check the path"
    assert "no file" in refused(tmp_path / "gone.nii", scan_shape)
    save(tmp_path / "a.nii", values())
    shutil.copy(tmp_path / "a.nii", tmp_path / "a.nrrd")
    shutil.copy(tmp_path / "a.nii", tmp_path / "a.mha")
    assert "no NRRD header" in refused(tmp_path / "a.nrrd")
    assert "no MetaImage header" in refused(tmp_path / "a.mha")


def patch(path, offset, form, *numbers):
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(struct.pack(form, *numbers))
    return path


@pytest.mark.parametrize(
    ("offset", "form", "numbers", "words"),
    [
        (40, "<4h", (3, 7, 0, 5), "7 x 0 x 5 voxels"),
        (40, "<4h", (3, 7, -6, 5), "7 x -6 x 5 voxels"),
        (40, "<4h", (3, 30000, 30000, 30000), "more than 1.1e+09"),
        (40, "<4h", (3, 700, 600, 500), "truncated, its header promises 420000352 bytes and 772 are there"),
        (40, "<h", (2,), "has 2 dimensions"),
        (40, "<5h", (4, 7, 6, 1, 5), "4D with 5 volumes"),
        (40, "<h", (9,), "not a readable NIfTI file"),
        (70, "<h", (128,), "its voxels are colours"),
        (70, "<h", (32,), "its voxels are complex numbers"),
        (70, "<h", (999,), "not a readable NIfTI file"),
        (108, "<f", (np.nan,), "not a readable NIfTI file"),
        (108, "<f", (1e30,), "truncated"),
        (108, "<f", (16.0,), "not a readable NIfTI file"),
        (112, "<2f", (1.0, np.inf), "not a readable NIfTI file"),
        (112, "<2f", (1e38, 1e38), "voxels are NaN or infinite"),
        (344, "<4s", (b"ni1\0",), "no NIfTI header with its voxels in the same file"),
        (0, "<i", (540,), "no NIfTI header"),
    ],
)
def test_unusable_headers(tmp_path, offset, form, numbers, words):
    assert words in refused(patch(save(tmp_path / "a.nii", values()), offset, form, *numbers))


def test_volumes_that_a_small_file_cannot_hold(tmp_path):
    path = save(tmp_path / "a.nii", values())
    patch(path, 40, "<4h", 3, 700, 600, 500)
    packed = gzip.compress(path.read_bytes()[:352] + bytes(420_000_000 // 100))
    (tmp_path / "a.nii.gz").write_bytes(packed)
    assert "promises 420 MB in" in refused(tmp_path / "a.nii.gz")
    image = read_scan(save(tmp_path / "scan.nii", values()))
    message = refused(tmp_path / "a.nii.gz", lambda path: read_label(path, image))
    assert "label grid (700, 600, 500) differs from (7, 6, 5)" in message


# ------------------------------------------------------------------------------------------------------------ geometry


@pytest.mark.parametrize(("unit", "scale"), [("micron", 1e-3), ("mm", 1), ("meter", 1e3), ("unknown", 1)])
@pytest.mark.parametrize("form", ["sform", "qform", "none"])
def test_units(tmp_path, unit, scale, form):
    affine = np.diag([-2.0, 3.0, 4.0, 1.0]) / scale
    path = tmp_path / "a.nii.gz"
    image = nib.Nifti1Image(values(), affine)
    image.header.set_xyzt_units(unit)
    image.set_sform(affine, int(form == "sform"))
    image.set_qform(affine, int(form == "qform"))
    nib.save(image, path)
    scan = read_scan(path)
    assert np.allclose(np.abs(scan.affine.numpy()[:3, :3]), np.diag([2, 3, 4]))
    assert np.allclose(scan.meta["original_affine"], scan.affine.numpy())


def test_the_form_that_can_be_used_is_used(tmp_path):
    path = save(tmp_path / "a.nii", values(), np.diag([2.0, 3, 4, 1]))
    patch(path, 252, "<2h", 1, 1)
    patch(path, 280, "<12f", *[0.0] * 12)
    assert np.allclose(read_scan(path).affine.numpy(), np.diag([2, 3, 4, 1]))
    patch(path, 256, "<3f", 5.0, 5.0, 5.0)  # a quaternion that is none
    assert "not invertible" in refused(path)
    patch(path, 252, "<2h", 0, 0)
    assert np.allclose(np.abs(np.diag(read_scan(path).affine.numpy())), [2, 3, 4, 1])  # from the spacing alone


def test_both_forms_of_a_scan_are_at_hand(tmp_path):
    moved = AFFINE.copy()
    moved[0, 3] += 39
    path = save(tmp_path / "a.nii.gz", values(), qform=(np.diag([1.0, 2, 3, 1]), 1), sform=(moved, 4))
    scan = read_scan(path)
    header = nifti_header(scan.meta["filename_or_obj"])
    assert np.allclose(scan.affine.numpy(), moved)
    assert np.allclose(header.get_qform(), np.diag([1, 2, 3, 1])) and np.allclose(header.get_sform(), moved)
    assert (header["qform_code"], header["sform_code"]) == (1, 4)


def test_one_slice(tmp_path):
    scan = read_scan(save(tmp_path / "a.nii.gz", values()[:, :, :1]))
    assert scan.shape == (1, 7, 6, 1) and list(scan.meta["spatial_shape"]) == [7, 6, 1]
    assert list(nifti_header(tmp_path / "a.nii.gz")["dim"][:4]) == [3, 7, 6, 1]
    scan = read_scan(save(tmp_path / "b.nii.gz", values()[..., None, None]))
    assert scan.shape == (1, *SHAPE) and list(scan.meta["spatial_shape"]) == list(SHAPE)


def test_what_resampling_asks_for(tmp_path):
    scan = read_scan(save(tmp_path / "a.nii.gz", values(), np.diag([1500.0, 1500, 3000, 1])))
    message = refused(tmp_path / "a.nii.gz", lambda path: check_resampling(scan, (0.1, 0.1, 0.1)))
    assert "its spacing of 1500 x 1500 x 3000 mm asks for 8.1e+14 voxels after resampling" in message
    check_resampling(scan, (1.0, 100.0, -1.0))
    with pytest.raises(InputError, match=r"a.nii.gz: its spacing of 1500"):
        SafeSpacingd("image", (0.1, 0.1, 0.1))({"image": scan})


# -------------------------------------------------------------------------------------------------------- label values


@pytest.mark.parametrize(
    ("dtype", "numbers"),
    [
        (np.int32, (1, 65537, 40000, 2**31 - 1)),
        (np.uint32, (1, 65537, 40000, 2**31 - 1)),
        (np.float64, (1, 65537, 16777217, 2**31 - 1)),
        (np.int64, (1, 2, 3, 16777217)),
        (np.uint8, (1, 2, 3, 255)),
    ],
)
def test_large_label_values(tmp_path, dtype, numbers):
    label = np.zeros(SHAPE, dtype)
    label[0, 0, :4] = numbers
    found = read_label(save_label(tmp_path / "a.nii.gz", label))
    assert found.unique().tolist() == sorted({0, *numbers})
    assert found.dtype == (torch.float32 if max(numbers) <= 2**24 else torch.float64)


def save_label(path, label):
    nib.save(nib.Nifti1Image(label, AFFINE, dtype=label.dtype), path)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearly_whole_label_values_are_rounded(tmp_path, dtype):
    label = np.zeros(SHAPE, dtype)
    label[0, 0, :3] = 0.9999999, 2.0009, -0.0005
    found = read_label(save_label(tmp_path / "a.nii.gz", label))
    assert found.unique().tolist() == [0, 1, 2] and not torch.signbit(found).any()


@pytest.mark.parametrize(
    ("dtype", "value", "words"),
    [
        (np.float32, 0.5, "label value 0.5 found"),
        (np.float32, 1.002, "label value 1.00199"),
        (np.int16, -1, "label value -1 found"),
        (np.float32, np.nan, "label value nan found"),
        (np.float32, np.inf, "label value inf found"),
        (np.uint32, 2**31, "label value 2147483648 found"),
        (np.uint64, 2**63, "found; a label map holds whole numbers from 0 to 2147483647"),
    ],
)
def test_values_that_are_no_labels(tmp_path, dtype, value, words):
    label = np.zeros(SHAPE, dtype)
    label[0, 0, 1] = value
    assert words in refused(save_label(tmp_path / "a.nii.gz", label), read_label)


# ------------------------------------------------------------------------------------------------------- the transform


def test_transform_reads_labels_with_their_image(tmp_path):
    image = str(save(tmp_path / "a.nii.gz", values()))
    moved = AFFINE @ np.diag([-1.0, 1, 1, 1])
    moved[:3, 3] = (AFFINE @ [SHAPE[0] - 1, 0, 0, 1])[:3]
    label = str(save(tmp_path / "b.nii.gz", (values() % 3)[::-1], moved))
    load = LoadScansd(["label", "image", "stored_label"], allow_missing_keys=True)
    data = {"image": image, "image_path": image, "label": label}
    loaded = load(data)
    assert np.array_equal(loaded["label"][0].numpy(), values() % 3)
    assert loaded["image_path"] == image and set(loaded) == set(data)
    again = load(loaded)  # volumes in memory are checked
    assert torch.equal(again["image"], loaded["image"]) and torch.equal(again["label"], loaded["label"])
    loaded["image"][0, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="1 voxels are NaN"):
        load(loaded)
    with pytest.raises(KeyError, match="label"):
        LoadScansd(["image", "label"])({"image": image})


@pytest.mark.parametrize("read", [read_scan, read_label, scan_shape])
def test_no_path_and_one_that_no_system_takes(tmp_path, read):
    with pytest.raises(InputError, match="empty"):
        read("")
    assert "cannot be read" in refused(tmp_path / f"{'a' * 250}.nii.gz", read)
