"""A raw CHAOS tree made of real prepared scans gives these scans again."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from common.data import load_datalist, select_subjects
from common.tools.challenges import DamagedInputError, prepare
from tests.data.adapters.raw import read
from tests.dicom.writer import write_series

pytestmark = pytest.mark.real_data
SUBJECTS = [1, 2, 10, 20]  # 2 is tilted, 10 has no empty slice on top
GREYS = np.array([0, 63, 126, 189, 252], np.uint8)


@pytest.fixture(scope="module")
def scans(real_data):
    return {int(item["subject"][-2:]): item for item in load_datalist(real_data / "chaos_t2", require_labels=True)}


def write_raw(folder, number, item):
    """DICOM as scanners store it, rows to the back, and PNG in the scanner's rows."""
    image, label = nib.load(item["image"]), nib.load(item["label"])
    assert nib.aff2axcodes(image.affine) == ("L", "A", "S")
    array, organs = (np.asanyarray(scan.dataobj)[:, ::-1] for scan in (image, label))
    affine = image.affine @ [[1, 0, 0, 0], [0, -1, 0, array.shape[1] - 1], [0, 0, 1, 0], [0, 0, 0, 1]]
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    series = folder / "MR" / str(number) / "T2SPIR"
    write_series(
        series / "DICOM_anon",
        array.astype(np.uint16),
        position=lps[:3, 3],
        orientation=tuple((lps[:3, :2] / spacing[:2]).T.ravel()),
        spacing=(spacing[1], spacing[0]),
        step=spacing[2],
        rescale=(1, 0),
        uid=f"1.2.826.0.1.3680043.10.511.{number}.1",
        name="IMG-0004-{:05d}.dcm",
    )
    (series / "Ground").mkdir()
    for k in range(organs.shape[2]):
        Image.fromarray(GREYS[organs[:, :, k].T]).save(series / "Ground" / f"IMG-0004-{k:05d}.png")


def test_same_volumes_in_world_space(scans, tmp_path):
    for number in SUBJECTS:
        write_raw(tmp_path / "raw", number, scans[number])
    prepare("chaos", tmp_path / "raw", tmp_path / "out", num_workers=1)
    for number in SUBJECTS:
        image, label, affine = read(tmp_path / "out", f"chaos_{number:02d}")
        original = nib.load(scans[number]["image"])
        np.testing.assert_array_equal(image, np.asanyarray(original.dataobj))
        np.testing.assert_array_equal(label, np.asanyarray(nib.load(scans[number]["label"]).dataobj))
        np.testing.assert_allclose(affine, original.affine, atol=2e-3)


def test_swapped_label_stacks_are_refused(scans, tmp_path):
    """3, 5 and 10 have 36 slices each; nothing but the image can tell whose organs these are."""
    for number in (3, 5, 10):
        write_raw(tmp_path / "raw", number, scans[number])
    places = [tmp_path / "raw" / "MR" / str(number) / "T2SPIR" / "Ground" for number in (3, 5, 10)]
    contents = [shutil.move(place, tmp_path / str(k)) for k, place in enumerate(places)]
    for content, place in zip(contents[1:] + contents[:1], places, strict=True):
        shutil.move(content, place)
    with pytest.raises(DamagedInputError) as caught:
        prepare("chaos", tmp_path / "raw", tmp_path / "out", num_workers=1)
    assert len(caught.value.faults) == 3
    assert all("of the image's variance" in fault for fault in caught.value.faults)
    assert not (tmp_path / "out").exists()


def test_all_published_scans_are_plausible(scans, tmp_path):
    """With all 20 subjects the published folds are written."""
    for number, item in scans.items():
        write_raw(tmp_path / "raw", number, item)
    summary = prepare("chaos", tmp_path / "raw", tmp_path / "out", num_workers=2)
    assert len(summary.prepared) == 20 and summary.folds == 5 and not summary.missing
    folds = json.loads((tmp_path / "out" / "dataset.json").read_text())["folds"]
    assert [fold["support"] for fold in folds] == ["chaos_08", "chaos_19", "chaos_31", "chaos_36", "chaos_01"]
    assert select_subjects(load_datalist(tmp_path / "out"), folds[4]["queries"])
