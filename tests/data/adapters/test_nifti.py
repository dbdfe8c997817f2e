"""SABS, MS-CMRSeg, VISCERAL and folder trees, sound and damaged, geometry compared in world coordinates."""

import json

import nibabel as nib
import numpy as np
import pytest

from common.data import label_names, load_datalist, split
from common.errors import InputError
from common.tools.challenges import DamagedInputError, prepare
from tests.data.adapters.raw import SABS_VALUES, grid, image_at, label_at, read, save_nifti, uniform, world
from tests.dicom.writer import values, write_series

SHAPE = (64, 48, 10)
SPACING = (6.0, 7.0, 14.0)
HEART = {"liver": 500, "right kidney": 600, "left kidney": 200, "spleen": 200}  # boxes that serve as a heart
HEART_SCALE, HEART_SPACING = 2, (3.0, 3.5, 9.0)
RADLEX = {"liver": 58, "spleen": 86, "right kidney": 29662, "left kidney": 29663}


def quiet(challenge, tree, output, **options):
    return prepare(challenge, tree, output, num_workers=1, say=lambda line: None, **options)


def faults(challenge, tree):
    output = tree.parent / "out"
    with pytest.raises(DamagedInputError) as caught:
        quiet(challenge, tree, output)
    assert not output.exists() and not list(tree.parent.rglob("*partial*"))
    assert all("\n" not in fault for fault in caught.value.faults)
    return caught.value.faults


def pair(tree, image, label, values, axcodes="LAS", shape=SHAPE, spacing=SPACING, air=0, mirror=False, scale=1):
    """Write image and label map; ``air`` is added everywhere (HU), ``scale`` makes the organs smaller."""
    affine = grid(shape, spacing, axcodes)
    points = scale * world(shape, affine)
    save_nifti(tree / image, (np.rint(image_at(points)) + air).astype(np.int16), affine)
    save_nifti(tree / label, label_at(points * (-1 if mirror else 1, 1, 1), values), affine)


def sabs(tree, number=1, **options):
    names = (f"Training/img/img{number:04d}.nii.gz", f"Training/label/label{number:04d}.nii.gz")
    pair(tree, *names, SABS_VALUES, air=-450, **options)
    return [tree / name for name in names]


def cardiac(tree, number=1, **options):
    names = (f"images/patient{number}_C0.nii.gz", f"labels/patient{number}_C0_manual.nii.gz")
    pair(tree, *names, HEART, scale=HEART_SCALE, **{"spacing": HEART_SPACING, **options})
    return [tree / name for name in names]


def visceral(tree, patient, radlex=RADLEX, mirror=False):
    affine = grid(SHAPE, SPACING, "LAS")
    points = world(SHAPE, affine)
    scan = f"{patient}_1_CTce_ThAb"
    save_nifti(tree / "volumes" / f"{scan}.nii.gz", (image_at(points) - 450).astype(np.int16), affine)
    for organ, identifier in radlex.items():
        mask = label_at(points * (-1 if mirror else 1, 1, 1), {**dict.fromkeys(RADLEX, 0), organ: 1})
        annotator = "" if organ == "liver" else "6"  # some names end with the line
        save_nifti(tree / "segmentations" / f"{scan}_{identifier}_{annotator}.nii.gz", mask, affine)


@pytest.mark.parametrize("axcodes", ["LAS", "RPS", "LPI", "SLA"])
def test_sabs_geometry(tmp_path, axcodes):
    first = {"SLA": ((10, 64, 48), (14.0, 6.0, 7.0))}.get(axcodes, (SHAPE, SPACING))
    sabs(tmp_path / "raw", 21, axcodes=axcodes, shape=first[0], spacing=first[1])
    quiet("sabs", tmp_path / "raw", tmp_path / "out")
    image, label, affine = read(tmp_path / "out", "sabs_0021")
    assert image.shape == (256, 256, 10)
    assert image.dtype == np.float32 and image.min() == -125 and image.max() == 275
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), (6 * 56 / 256, 7 * 42 / 256, 14))
    points = world(image.shape, affine)
    if axcodes == "LAS":  # a border of 4 of 64 and 3 of 48 pixels is gone, the first one left keeps its place
        np.testing.assert_allclose(points[0, 0, 0], world(SHAPE, grid(SHAPE, SPACING, "LAS"))[4, 3, 0])
    image, label, points = image[::3, ::3], label[::3, ::3], points[::3, ::3]
    sure = uniform(points, (8, 8, 1))
    np.testing.assert_array_equal(label[sure], label_at(points, SABS_VALUES)[sure])
    exact = image_at(points) - 450
    unclipped = sure & (exact > -100) & (exact < 250)
    assert unclipped.sum() > 1000
    np.testing.assert_allclose(image[unclipped], exact[unclipped], atol=1.1)
    np.testing.assert_array_equal(image[sure & (exact < -150)], -125)


def test_sabs_at_its_own_size(tmp_path):
    """512 x 512 pixels: 32 are cut from each border, 448 become 256, every 1.75th."""
    affine = np.diag([0.7, 0.7, 30.0, 1.0])
    image = np.zeros((512, 512, 4), np.int16)
    image[..., :2] = np.arange(512)[:, None, None] // 2 - 100
    label = np.zeros(image.shape, np.int16)
    label[300:512, 100:400, 1:3], label[32:200, 100:400, 1:3] = 6, 1
    save_nifti(tmp_path / "raw" / "img0001.nii.gz", image, affine)
    save_nifti(tmp_path / "raw" / "label0001.nii.gz", label, affine)
    quiet("sabs", tmp_path / "raw", tmp_path / "out")
    image, label, affine = read(tmp_path / "out", "sabs_0001")
    np.testing.assert_allclose(np.diag(affine), [1.225, 1.225, 30, 1])
    np.testing.assert_allclose(affine[:3, 3], [32 * 0.7, 32 * 0.7, 0], rtol=1e-6)
    np.testing.assert_allclose(image[:4, 0, 0], [-84, -83.25, -82.5, -81.75])  # pixels 32, 33.75, 35.5, 37.25
    assert image.shape == (256, 256, 4) and image[..., :2].min() == -84  # no filled border is left
    np.testing.assert_array_equal(np.flatnonzero(label[:, 100, 1] == 6)[[0, -1]], [153, 255])


def test_sabs_folds_need_all_scans(tmp_path):
    for number in (1, 2, 3):
        sabs(tmp_path / "raw", number)
    pair(tmp_path / "raw", "Testing/img/img0061.nii.gz", "x.nii.gz", SABS_VALUES)
    (tmp_path / "raw" / "x.nii.gz").rename(tmp_path / "raw" / "DET0000101_avg_seg.nii.gz")
    summary = quiet("sabs", tmp_path / "raw", tmp_path / "out")
    assert summary.prepared == ["sabs_0001", "sabs_0002", "sabs_0003"] and summary.folds == 0
    assert summary.left_alone == ["1 scans of the test set", "1 files of Synapse's other scans, DET*_avg"]
    assert summary.missing[0].startswith("27 of 30 published subjects: 4, 5")


@pytest.mark.parametrize(
    ("axcodes", "shape", "spacing", "moved", "margin"),
    [
        ("PSR", (40, 30, 20), HEART_SPACING, (0, 1, 2), (18.5, 6.5, 7.5)),
        ("SLP", (10, 60, 44), (9.0, 3.0, 3.5), (1, 2, 0), (6.5, 7.5, 18.5)),
    ],
)
def test_mscmr_geometry(tmp_path, axcodes, shape, spacing, moved, margin):
    """Slices are the axis with the largest spacing, in whatever direction of the body; other axes stay as stored."""
    cardiac(tmp_path / "raw", 7, axcodes=axcodes, shape=shape, spacing=spacing)
    quiet("mscmr", tmp_path / "raw", tmp_path / "out")
    image, label, affine = read(tmp_path / "out", "mscmr_07")
    assert nib.aff2axcodes(affine) == tuple(axcodes[axis] for axis in moved)
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), (1.25, 1.25, 7.99))
    assert image.shape == (256, 256, int(shape[moved[2]] * 9 / 7.99 + 1))
    points = HEART_SCALE * world(image.shape, affine)
    image, label, points = image[::3, ::3], label[::3, ::3], points[::3, ::3]
    sure = uniform(points, margin)  # a raw voxel
    values = {"liver": 2, "right kidney": 3, "left kidney": 1, "spleen": 1}
    assert sorted(np.unique(label[sure])) == [0, 1, 2, 3]
    np.testing.assert_array_equal(label[sure], label_at(points, values)[sure])
    unclipped = sure & (image_at(points) < 1100)
    np.testing.assert_allclose(image[unclipped], image_at(points)[unclipped], atol=1.6)


def test_mscmr_leaves_other_sequences(tmp_path):
    cardiac(tmp_path / "raw", 1)
    image, _ = cardiac(tmp_path / "raw", 40)
    for name in ("patient1_LGE.nii.gz", "patient1_LGE_manual.nii.gz", "patient1_T2.nii.gz"):
        image.with_name(name).write_bytes(image.read_bytes())
    (tmp_path / "raw/labels/patient40_C0_manual.nii.gz").unlink()
    summary = quiet("mscmr", tmp_path / "raw", tmp_path / "out")
    assert summary.prepared == ["mscmr_01"]
    assert summary.left_alone == ["patient40_C0.nii.gz, without label map", "3 files of T2 and LGE"]
    assert label_names(tmp_path / "out") == {
        "background": 0, "LV-MYO": 1, "LV-BP": 2, "RV": 3,
    }  # fmt: skip


@pytest.mark.parametrize("left_first", [False, True])
def test_visceral_sides_come_from_the_scan(tmp_path, left_first):
    """Which RadLex id is the right kidney is disputed: where it lies decides. The grid stays."""
    radlex = {**RADLEX, "right kidney": 29663, "left kidney": 29662} if left_first else RADLEX
    visceral(tmp_path / "raw", 10000132, radlex)
    visceral(tmp_path / "raw", 10000100, radlex)
    summary = quiet("visceral", tmp_path / "raw", tmp_path / "out")
    values = {"liver": 1, "spleen": 2, "right kidney": 3, "left kidney": 4}
    affine = grid(SHAPE, SPACING, "LAS")
    image, label, found = read(tmp_path / "out", "visceral_10000132")
    np.testing.assert_array_equal(label, label_at(world(SHAPE, affine), values))
    np.testing.assert_array_equal(image, (image_at(world(SHAPE, affine)) - 450).astype(np.int16))
    np.testing.assert_allclose(found, affine, atol=1e-4)
    assert summary.missing == ["18 of 20 gold scans", "65 of 65 silver scans"]
    description = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert description["folds"] == [{"queries": ["visceral_10000100"], "support": "visceral_10000132"}]
    assert split(load_datalist(tmp_path / "out"), None, support="10000132")["support"][0]["label"]
    assert {name: description["labels"][name] for name in ("left psoas", "pancreas")} == {
        "left psoas": 6,
        "pancreas": 7,
    }
    assert len(description["labels"]) == 21


def test_visceral_wrong_laterality(tmp_path):
    visceral(tmp_path / "raw", 10000132, mirror=True)
    (fault,) = faults("visceral", tmp_path / "raw")
    assert "liver lies left of the spleen" in fault


def test_visceral_label_without_image(tmp_path):
    visceral(tmp_path / "raw", 10000132)
    (tmp_path / "raw/volumes/10000132_1_CTce_ThAb.nii.gz").unlink()
    (fault,) = faults("visceral", tmp_path / "raw")
    assert "no image 10000132_1_CTce_ThAb.nii.gz" in fault


def test_folder_of_series_and_files(tmp_path):
    write_series(tmp_path / "raw/study/ct axial", values())
    pair(tmp_path / "raw", "more/scan.nii", "none.nii", SABS_VALUES)
    (tmp_path / "raw/none.nii").unlink()
    summary = quiet("folder", tmp_path / "raw", tmp_path / "out")
    assert summary.prepared == ["more_scan", "study_ct_axial"]
    series = nib.load(tmp_path / "out/imagesTr/study_ct_axial.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(series.dataobj), values().astype(np.int16) * 2 - 1024)
    np.testing.assert_allclose(series.affine[:3, 3], [20, -30, -40])
    assert not list((tmp_path / "out/labelsTr").iterdir())


def test_folder_with_labels_warns_of_implausible_organs(tmp_path):
    for number in range(1, 6):
        names = f"images/s{number}.nii.gz", f"labels/s{number}.nii.gz"
        pair(tmp_path / "raw", *names, SABS_VALUES, axcodes="RAS" if number % 2 else "PIR", mirror=number == 5)
    labels = {"background": 0, "liver": 6, "spleen": 1}
    training = [{"image": f"images/s{n}.nii.gz", "label": f"labels/s{n}.nii.gz"} for n in range(1, 6)]
    (tmp_path / "raw/dataset.json").write_text(json.dumps({"labels": labels, "training": training}))
    summary = quiet("folder", tmp_path / "raw", tmp_path / "out")
    assert len(summary.prepared) == 5 and summary.folds == 5
    (warning,) = summary.warnings
    assert "s5.nii.gz: liver lies left of the spleen" in warning
    image, label, affine = read(tmp_path / "out", "s2")
    np.testing.assert_array_equal(label, label_at(world(SHAPE, affine), SABS_VALUES))
    assert label_names(tmp_path / "out") == labels | {"spleen": 1}


@pytest.mark.parametrize(("challenge", "write"), [("sabs", sabs), ("mscmr", cardiac)])
class TestDamaged:
    def test_truncated_image(self, tmp_path, challenge, write):
        write(tmp_path / "raw", 2)
        image, _ = write(tmp_path / "raw", 1)
        image.write_bytes(image.read_bytes()[:2000])
        (fault,) = faults(challenge, tmp_path / "raw")
        assert str(image) in fault and "copy" in fault

    def test_empty_label(self, tmp_path, challenge, write):
        _, label = write(tmp_path / "raw", 1)
        label.write_bytes(b"")
        (fault,) = faults(challenge, tmp_path / "raw")
        assert str(label) in fault

    def test_no_label(self, tmp_path, challenge, write):
        image, label = write(tmp_path / "raw", 1)
        label.unlink()
        (fault,) = faults(challenge, tmp_path / "raw")
        assert f"{image}: no label map" in fault

    def test_image_and_label_swapped(self, tmp_path, challenge, write):
        image, label = write(tmp_path / "raw", 1)
        image.rename(tmp_path / "x")
        label.rename(image)
        (tmp_path / "x").rename(label)
        (fault,) = faults(challenge, tmp_path / "raw")
        assert str(label) in fault and "label value" in fault

    def test_label_of_another_scan(self, tmp_path, challenge, write):
        _, label = write(tmp_path / "raw", 1)
        _, other = write(tmp_path / "raw", 2, shape=(64, 48, 9))
        other.rename(label)
        messages = faults(challenge, tmp_path / "raw")
        assert any(f"{label}: label grid (64, 48, 9) differs" in fault for fault in messages)
        assert any("patient2_C0.nii.gz: no label" in f or "img0002.nii.gz: no label" in f for f in messages)

    def test_two_files_of_one_name(self, tmp_path, challenge, write):
        image, _ = write(tmp_path / "raw", 1)
        (tmp_path / "raw/copy").mkdir()
        (tmp_path / "raw/copy" / image.name).write_bytes(image.read_bytes())
        (fault,) = faults(challenge, tmp_path / "raw")
        assert "has the same name" in fault


def test_sabs_wrong_laterality(tmp_path):
    sabs(tmp_path / "raw", 1, mirror=True)
    messages = faults("sabs", tmp_path / "raw")
    assert any("liver lies left of the spleen" in fault for fault in messages)


def test_sabs_implausible_volume(tmp_path):
    """A header in the wrong unit."""
    affine = grid((64, 48, 10), (0.6, 0.7, 1.4), "LAS")
    points = world((64, 48, 10), affine) * 10
    save_nifti(tmp_path / "raw/img0001.nii.gz", (image_at(points) - 450).astype(np.int16), affine)
    save_nifti(tmp_path / "raw/label0001.nii.gz", label_at(points, SABS_VALUES), affine)
    messages = faults("sabs", tmp_path / "raw")
    assert any("liver of 1." in fault and "plausible are 400 to 7000 mL" in fault for fault in messages)


@pytest.mark.parametrize("challenge", ["chaos", "sabs", "mscmr", "visceral", "folder"])
def test_unknown_layout(tmp_path, challenge):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "Train.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match="unpack Train.zip first"):
        quiet(challenge, tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()
