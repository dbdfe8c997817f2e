"""A DICOM-SEG as label map of a support: its segments on the scan's grid, by number, with their names."""

import nibabel as nib
import numpy as np
import pytest

from common.data.companions import organ_names
from common.data.dicom.seg_writer import write_segmentation
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
