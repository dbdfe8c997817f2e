"""A DICOM-SEG as label map of a support: its segments on the scan's grid, by number, with their names."""

import copy

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.pixels import pack_bits

from common.data.companions import organ_names
from common.data.dicom.seg_writer import write_segmentation
from common.data.monai_label.archive import segments, stored_segmentation, whole_label_map
from common.data.reading import read_label, read_scan
from common.errors import InputError
from tests.dicom.test_segmentation import FROM, NAMES, organs, save_label
from tests.dicom.writer import rotation, values, write_series

NUMBERS = {0: 0, 1: 1, 4: 2, 300: 3}  # segments are numbered in the order of the label values


@pytest.fixture(params=[(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), rotation(17, -31, 8)], ids=["axial", "sag", "oblique"])
def series(request, tmp_path):
    folder = tmp_path / "series"
    write_series(folder, values(), orientation=request.param, spacing=(0.7, 1.9), numbers=[3, 0, 4, 1, 2])
    return folder


def segmentation(tmp_path, series, label):
    path = tmp_path / "seg.dcm"
    write_segmentation(series, save_label(tmp_path / "label.nii.gz", series, label), path, NAMES, *FROM)
    return path


def test_segments_become_label_values_on_the_scans_grid(series, tmp_path):
    label = organs()
    found = read_label(segmentation(tmp_path, series, label), read_scan(series))
    expected = np.vectorize(NUMBERS.get)(label)
    np.testing.assert_array_equal(found[0].numpy(), expected)
    assert organ_names([tmp_path / "seg.dcm"]) == {1: "liver", 2: "left kidney", 3: "tumour bed"}


def test_one_drawn_slice_of_a_nifti_copy_of_the_scan(series, tmp_path):
    """A file without its empty slices, and the scan as NIfTI with its axes turned."""
    label = organs()
    label[..., :2] = label[..., 3:] = 0
    scan = read_scan(series)
    image = nib.Nifti1Image(scan[0].numpy(), scan.affine.numpy())
    turned = image.as_reoriented(np.array([[1, -1], [0, 1], [2, 1]]))
    nib.save(turned, tmp_path / "scan.nii.gz")
    found = read_label(segmentation(tmp_path, series, label), read_scan(tmp_path / "scan.nii.gz"))
    drawn = nib.Nifti1Image(np.vectorize(NUMBERS.get)(label).astype(np.uint8), scan.affine.numpy())
    expected = drawn.as_reoriented(np.array([[1, -1], [0, 1], [2, 1]])).get_fdata()
    np.testing.assert_array_equal(found[0].numpy(), expected)


def test_another_scan_is_refused(series, tmp_path):
    path = segmentation(tmp_path, series, organs())
    other = read_scan(series)
    other.affine[:3, 3] += 300
    with pytest.raises(InputError, match=r"seg\.dcm: (segments lie beyond|does not lie on)"):
        read_label(path, other)
    finer = nib.Nifti1Image(np.random.default_rng(0).random((40, 40, 12)), np.diag([0.3, 0.3, 0.5, 1]))
    nib.save(finer, tmp_path / "finer.nii.gz")
    with pytest.raises(InputError, match=r"seg\.dcm: "):
        read_label(path, read_scan(tmp_path / "finer.nii.gz"))


def test_a_damaged_file_is_refused(series, tmp_path):
    path = segmentation(tmp_path, series, organs())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"seg\.dcm: "):
        read_label(path, read_scan(series))


# ---------------------------------------------------------------------------- in a MONAI Label server, by pydicom alone


@pytest.fixture
def scan(series, tmp_path):
    """The series as the server converts it."""
    image = read_scan(series)
    nib.save(nib.Nifti1Image(image[0].numpy(), image.affine.numpy()), tmp_path / "scan.nii.gz")
    return str(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("slices", [slice(None), slice(2, 3)], ids=["all slices", "one slice"])
def test_a_server_reads_it_as_highdicom_does(series, scan, tmp_path, slices):
    label = organs()
    label[..., [n for n in range(label.shape[2]) if n not in range(*slices.indices(label.shape[2]))]] = 0
    path = segmentation(tmp_path, series, label)
    found = read_label(whole_label_map(str(path), scan), read_scan(scan))
    np.testing.assert_array_equal(found[0].numpy(), read_label(path, read_scan(scan))[0].numpy())
    assert found[0].any()
    names = {part["idx"]: part["name"] for part in segments(str(path))}
    assert names == organ_names([path])


def test_a_server_refuses_what_it_cannot_place(series, scan, tmp_path):
    path = segmentation(tmp_path, series, organs())
    moved = nib.load(scan)
    affine = moved.affine.copy()
    affine[:3, 3] += 300
    nib.save(nib.Nifti1Image(moved.dataobj, affine), tmp_path / "moved.nii.gz")
    with pytest.raises(InputError, match=r"seg\.dcm: does not lie on the grid"):
        whole_label_map(str(path), str(tmp_path / "moved.nii.gz"))
    file = pydicom.dcmread(path)
    twice = copy.deepcopy(file.PerFrameFunctionalGroupsSequence[0])
    number = twice.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    twice.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 1 + number % 3
    frames = file.pixel_array
    file.PerFrameFunctionalGroupsSequence.append(twice)
    file.NumberOfFrames += 1
    file.PixelData = pack_bits(np.concatenate([frames, frames[:1]]).astype(np.uint8))
    file.save_as(tmp_path / "overlapping.dcm")
    with pytest.raises(InputError, match=r"overlapping\.dcm: its segments overlap"):
        whole_label_map(str(tmp_path / "overlapping.dcm"), scan)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"seg\.dcm: cannot be read"):
        whole_label_map(str(path), scan)
    assert not list(tmp_path.glob("seg.nii*")) and segments(str(path)) == []


def test_a_servers_own_labels_are_no_stored_segmentations(series, tmp_path):
    path = segmentation(tmp_path, series, organs())
    (tmp_path / "1.2.3").mkdir()
    path.rename(tmp_path / "1.2.3/file.dcm")
    label = str(tmp_path / "scan.nii.gz")
    assert stored_segmentation(label, {"SeriesInstanceUID": "1.2.3"}) == str(tmp_path / "1.2.3/file.dcm")
    assert stored_segmentation(label, {"SeriesInstanceUID": "1.2.3", "label_info": []}) == ""
    assert stored_segmentation(label, {"SeriesInstanceUID": "4"}) == stored_segmentation(label, None) == ""
