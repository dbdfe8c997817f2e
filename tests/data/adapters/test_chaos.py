"""CHAOS trees, sound and damaged, geometry compared in world coordinates."""

import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from common.data import label_names, load_datalist
from common.tools.challenges import DamagedInputError, prepare
from tests.data.adapters.raw import grid, image_at, label_at, read, uniform, world, write_chaos

VALUES = {"liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}
GRIDS = {
    "as shipped": {},
    "files from the top": {"reverse": True},
    "rows towards the front": {"affine": grid(axcodes="LAI")},
    "tilted": {"affine": grid(tilt=4.0)},
    "patient turned": {"affine": grid(axcodes="RAS")},
}


@pytest.fixture
def tree(tmp_path):
    for number in (1, 2):
        write_chaos(tmp_path / "Train_Sets", number)
    return tmp_path / "Train_Sets"


def refused(tree, said=None):
    """Prepare a damaged tree; gives the faults, and checks that nothing is left of it."""
    output = tree.parent / "out"
    with pytest.raises(DamagedInputError) as caught:
        prepare("chaos", tree, output, num_workers=1, say=said.append if said is not None else lambda line: None)
    assert not output.exists()
    assert not list(tree.parent.rglob("*partial*"))
    assert all("\n" not in fault for fault in caught.value.faults)
    return caught.value.faults


@pytest.mark.parametrize("name", GRIDS)
def test_geometry(tmp_path, name):
    series = write_chaos(tmp_path / "raw", 8, **GRIDS[name])
    prepare("chaos", tmp_path / "raw", tmp_path / "out", num_workers=1)
    image, label, affine = read(tmp_path / "out", "chaos_08")
    assert image.dtype == np.int16 and label.dtype == np.uint8
    assert image.shape == (256, 256, int(12 * 12 / 7.7 + 1))
    whole_image = image
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), (1.25, 1.25, 7.7))
    assert nib.aff2axcodes(affine) == ("L", "A", "S")
    image, label, points = (array[::3, ::3] for array in (image, label, world(image.shape, affine)))
    first = world((40, 32, 12), GRIDS[name].get("affine", grid()))
    cap = int(np.percentile(np.rint(image_at(first)), 99.5))
    sure = uniform(points, (9.5, 10.5, 13))
    assert sorted(np.unique(label[sure])) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(label[sure], label_at(points, VALUES)[sure])
    unclipped = sure & (image_at(points) < cap - 25)  # a raw voxel's neighbours differ by at most 20
    np.testing.assert_allclose(image[unclipped], image_at(points)[unclipped], atol=1.6)
    assert whole_image.max() == cap < np.rint(image_at(first)).max()
    assert len(list(series.rglob("*"))) == 2 + 24  # the download is as it was


def test_dataset_json(tree, tmp_path):
    said = []
    (tree / "MR" / "1" / "T1DUAL" / "DICOM_anon" / "InPhase").mkdir(parents=True)
    write_chaos(tmp_path / "Test_Sets", 4)
    shutil.rmtree(tmp_path / "Test_Sets" / "MR" / "4" / "T2SPIR" / "Ground")
    shutil.move(tmp_path / "Test_Sets", tree.parent / "Train_Sets" / "Test_Sets")
    summary = prepare("chaos", tree, tmp_path / "out", num_workers=1, say=said.append)
    assert summary.prepared == ["chaos_01", "chaos_02"] and summary.folds == 0
    assert label_names(tmp_path / "out") == {"background": 0, **VALUES}
    items = load_datalist(tmp_path / "out", require_labels=True)
    assert [item["subject"] for item in items] == ["chaos_01", "chaos_02"]
    assert "found: 2 scans of CHAOS T2-SPIR" in said[0]
    assert "left alone: 1 T1DUAL series" in said
    assert "left alone: 1 T2SPIR series of the test set, without Ground" in said
    assert any(line.startswith("missing: 18 of 20 published subjects: 3, 5, 8") for line in said)


def test_missing_dicom_slice(tree):
    (tree / "MR/2/T2SPIR/DICOM_anon/IMG-0004-00005.dcm").unlink()
    said = []
    (fault,) = refused(tree, said)
    assert "MR/2/T2SPIR/DICOM_anon: a slice is missing or misplaced after IMG-0004-00004.dcm" in fault
    assert f"fault: {fault}" in said


def test_missing_last_slice(tree):
    """The series alone cannot show it, the label maps do."""
    (tree / "MR/2/T2SPIR/DICOM_anon/IMG-0004-00011.dcm").unlink()
    (fault,) = refused(tree)
    assert "IMG-0004-00011.png: no slice of this name (11 for 12 PNG files)" in fault


def test_missing_png(tree):
    (tree / "MR/2/T2SPIR/Ground/IMG-0004-00003.png").unlink()
    (fault,) = refused(tree)
    assert "MR/2/T2SPIR/Ground: no PNG for slice IMG-0004-00003 (11 for 12 slices)" in fault


@pytest.mark.parametrize("keep", [0, 200, 1500])
def test_truncated_dicom(tree, keep):
    path = tree / "MR/1/T2SPIR/DICOM_anon/IMG-0004-00007.dcm"
    path.write_bytes(path.read_bytes()[:keep])
    (fault,) = refused(tree)
    assert str(path) in fault and "copy it again" in fault


def test_truncated_png(tree):
    path = tree / "MR/1/T2SPIR/Ground/IMG-0004-00007.png"
    path.write_bytes(path.read_bytes()[:60])
    (fault,) = refused(tree)
    assert str(path) in fault and "copy it again" in fault


def test_each_fault_is_one_line(tree):
    (tree / "MR/1/T2SPIR/Ground/IMG-0004-00003.png").unlink()
    (tree / "MR/2/T2SPIR/DICOM_anon/IMG-0004-00005.dcm").unlink()
    shutil.copytree(tree / "MR/1/T1DUAL" if (tree / "MR/1/T1DUAL").exists() else tree / "MR/1", tree / "MR/3")
    shutil.rmtree(tree / "MR/3/T2SPIR/Ground")
    faults = refused(tree)
    assert [("MR/1" in f, "MR/2" in f, "MR/3" in f) for f in faults] == [
        (False, False, True), (True, False, False), (False, True, False),
    ]  # fmt: skip
    assert "no folder Ground" in faults[0]


def test_unknown_grey_value(tree):
    path = tree / "MR/1/T2SPIR/Ground/IMG-0004-00006.png"
    grey = np.asarray(Image.open(path)).copy()
    grey[0, 0] = 100
    Image.fromarray(grey).save(path)
    (fault,) = refused(tree)
    assert f"{path}: grey value 100 found" in fault


def test_mirrored_labels(tmp_path):
    write_chaos(tmp_path / "raw", 1, mirror=True)
    faults = refused(tmp_path / "raw")
    assert any("right kidney lies left of left kidney" in fault for fault in faults)
    assert any("liver lies left of the spleen" in fault for fault in faults)


def test_swapped_kidneys(tmp_path):
    greys = {"liver": 63, "right kidney": 189, "left kidney": 126, "spleen": 252}
    write_chaos(tmp_path / "raw", 1, greys=greys)
    (fault,) = refused(tmp_path / "raw")
    assert "right kidney lies left of left kidney" in fault


def test_missing_organ(tmp_path):
    write_chaos(tmp_path / "raw", 1, greys={"liver": 63, "right kidney": 126, "left kidney": 189, "spleen": 0})
    (fault,) = refused(tmp_path / "raw")
    assert "no spleen in the label map" in fault


def test_label_of_another_scan(tmp_path):
    """Same size, same organs, but 60 mm lower: only the image can tell."""
    series = write_chaos(tmp_path / "raw", 1)
    files = sorted((series / "Ground").glob("*.png"))
    for path, content in [(path, files[max(0, k - 5)].read_bytes()) for k, path in enumerate(files)]:
        path.write_bytes(content)
    (fault,) = refused(tmp_path / "raw")
    assert "of the image's variance" in fault


def test_stacks_without_common_names_go_by_order(tmp_path):
    series = write_chaos(tmp_path / "raw", 1)
    for k, path in enumerate(sorted((series / "Ground").glob("*.png"))):
        path.rename(path.with_name(f"liver_{k:03d}.png"))
    prepare("chaos", tmp_path / "raw", tmp_path / "out", num_workers=1)
    _, label, affine = read(tmp_path / "out", "chaos_01")
    label, points = label[::3, ::3], world(label.shape, affine)[::3, ::3]
    sure = uniform(points, (9.5, 10.5, 13))
    np.testing.assert_array_equal(label[sure], label_at(points, VALUES)[sure])
