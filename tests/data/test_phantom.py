from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from common.data import cache_folder, make_phantom
from common.data.synthetic.abdomen import LABELS

PLAUSIBLE_MILLILITRES = {"liver": (800, 2000), "right kidney": (80, 280), "left kidney": (80, 280), "spleen": (60, 350)}


@pytest.fixture(scope="module")
def subjects(phantom: Path) -> list[tuple[nibabel.Nifti1Image, nibabel.Nifti1Image]]:
    names = sorted(path.name for path in (phantom / "imagesTr").iterdir())
    return [(nibabel.load(phantom / "imagesTr" / name), nibabel.load(phantom / "labelsTr" / name)) for name in names]


def voxels(image: nibabel.Nifti1Image) -> np.ndarray:
    return np.asarray(image.dataobj)


def world_centre(label: nibabel.Nifti1Image, organ: str) -> np.ndarray:
    indices = np.argwhere(voxels(label) == LABELS[organ])
    return nibabel.affines.apply_affine(label.affine, indices.mean(0))


def test_is_an_msd_dataset(phantom, subjects):
    description = json.loads((phantom / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}
    assert description["training"][9] == {
        "image": "./imagesTr/phantom_10.nii.gz",
        "label": "./labelsTr/phantom_10.nii.gz",
    }
    assert len(subjects) == description["numTraining"] == 10
    for image, label in subjects:
        assert image.get_data_dtype() == np.int16
        assert label.get_data_dtype() == np.uint8
        assert image.shape == label.shape
        np.testing.assert_array_equal(image.affine, label.affine)
        assert set(np.unique(voxels(label))) == {0, 1, 2, 3, 4}


def test_grid_is_small_and_thick_sliced(subjects):
    for image, _ in subjects:
        shape = sorted(zip(image.header.get_zooms(), image.shape, strict=True))
        assert [size for _, size in shape[:2]] == [176, 176]
        assert 22 <= shape[2][1] <= 26
        assert shape[0][0] == pytest.approx(shape[1][0])
        assert 1.6 < shape[0][0] < 2.0
        assert shape[2][0] == pytest.approx(7.7)


def test_some_subjects_are_stored_otherwise(subjects):
    codes = ["".join(nibabel.aff2axcodes(image.affine)) for image, _ in subjects]
    assert codes == ["LAS", "LAS", "LAS", "RPS", "LAS", "LAS", "LAS", "SRA", "LAS", "LAS"]


def test_organs_lie_where_they_belong(subjects):
    for _, label in subjects:
        liver, right, left, spleen = (world_centre(label, organ) for organ in list(LABELS)[1:])
        assert liver[0] > left[0] + 60 and right[0] > left[0] + 60  # RAS+: larger x is the patient's right
        assert right[0] > spleen[0] + 100 and left[0] > spleen[0]
        assert spleen[2] > left[2] > right[2]
        assert liver[1] > right[1] and liver[2] > right[2]


def test_organ_volumes_are_plausible(subjects):
    for _, label in subjects:
        millilitres = abs(np.linalg.det(label.affine[:3, :3])) / 1000
        for organ, (low, high) in PLAUSIBLE_MILLILITRES.items():
            assert low < np.count_nonzero(voxels(label) == LABELS[organ]) * millilitres < high, organ


def test_air_is_rician_noise_outside_the_body(subjects):
    for image, _ in subjects:
        stored = nibabel.as_closest_canonical(image)
        corner = voxels(stored)[:20, :20].astype(float)
        # Rayleigh distribution of sigma 14: mean 14 * sqrt(pi / 2), standard deviation 14 * sqrt(2 - pi / 2).
        assert corner.mean() == pytest.approx(17.55, abs=0.3)
        assert corner.std() == pytest.approx(9.17, abs=0.3)
        assert voxels(image).min() >= 0


def test_the_supports_intensities_do_not_find_the_organs_of_others(subjects):
    """A window over the third subject's organ, as a support would give it, applied to every other subject."""
    support_image, support_label = subjects[2]
    scores = []
    for organ in ("right kidney", "left kidney", "spleen"):
        inside = voxels(support_label) == LABELS[organ]
        low, high = np.percentile(voxels(support_image)[inside], (5, 95))
        for image, label in subjects[:2] + subjects[3:]:
            wanted = voxels(label) == LABELS[organ]
            in_window = (voxels(image) >= low) & (voxels(image) <= high)
            overlap = np.count_nonzero(in_window & wanted)
            scores.append(2 * overlap / (np.count_nonzero(in_window) + np.count_nonzero(wanted)))
    assert np.mean(scores) < 0.5


def test_subjects_differ(subjects):
    means = np.array(
        [[voxels(image)[voxels(label) == value].mean() for value in (1, 2, 3, 4)] for image, label in subjects]
    )
    assert np.all(means.std(0) / means.mean(0) > 0.05)


def test_same_seed_same_voxels_whatever_the_number_of_subjects(phantom, tmp_path):
    again = make_phantom(tmp_path / "again", subjects=1)
    other = make_phantom(tmp_path / "other", subjects=1, seed=1)
    for part in ("imagesTr", "labelsTr"):
        first = nibabel.load(phantom / part / "phantom_01.nii.gz")
        second = nibabel.load(again / part / "phantom_01.nii.gz")
        assert voxels(first).tobytes() == voxels(second).tobytes()
        np.testing.assert_array_equal(first.affine, second.affine)
        different = nibabel.load(other / part / "phantom_01.nii.gz")
        assert voxels(first).tobytes() != voxels(different).tobytes()


def test_default_folder_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWSHOT_CACHE", str(tmp_path))
    folder = make_phantom(subjects=1, seed=5)
    assert folder == tmp_path / "phantom-v1-s5-n1"
    time = (folder / "dataset.json").stat().st_mtime_ns
    assert make_phantom(subjects=1, seed=5) == folder
    assert (folder / "dataset.json").stat().st_mtime_ns == time
    assert os.listdir(tmp_path) == ["phantom-v1-s5-n1"]


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("FEWSHOT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fewshot-bundles"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "fewshot-bundles"


def test_loser_of_a_race_uses_the_winners_copy(tmp_path, monkeypatch):
    winner = make_phantom(tmp_path / "winner", subjects=1)
    rename = os.rename

    def winner_was_faster(source, target):
        shutil.copytree(winner, target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", winner_was_faster)
    folder = make_phantom(tmp_path / "phantom", subjects=1)
    assert (folder / "imagesTr" / "phantom_01.nii.gz").read_bytes() == (
        winner / "imagesTr" / "phantom_01.nii.gz"
    ).read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["phantom", "winner"]


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="mine exists and is not the phantom"):
        make_phantom(tmp_path / "mine", subjects=1)
    assert os.listdir(tmp_path) == ["mine"]
    assert os.listdir(tmp_path / "mine") == ["notes.txt"]


def test_needs_a_subject(tmp_path):
    with pytest.raises(ValueError, match="subjects=0"):
        make_phantom(tmp_path / "none", subjects=0)
