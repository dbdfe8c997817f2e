"""A scan is clipped once: what ``fewshot prepare`` has clipped says so in its file, and nobody clips it again."""

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.nifti1 import Nifti1Header

from common.data.clipped import CLIPPED, clipped_percentile, mark_clipped
from common.data.reading import read_scan
from common.tools.challenges import prepare
from common.transforms import ScanPreprocessing
from tests.data.adapters.raw import write_chaos


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chaos")
    for number in (1, 2):
        write_chaos(folder / "raw", number)
    prepare("chaos", folder / "raw", folder / "out", num_workers=1)
    return folder / "out"


def clipped(path, **settings):
    preprocessing = ScanPreprocessing(spacing=(1.25, 1.25, 7.7), image_size=256, axcodes="ALS", **settings)
    data = {"image": str(path)}
    for step in preprocessing.geometry:
        data = step(data)
    return data["image"].as_tensor()


def test_prepare_marks_the_file(prepared):
    assert read_scan(prepared / "imagesTr/chaos_01.nii.gz").meta[CLIPPED] == 99.5
    assert CLIPPED not in read_scan(prepared / "labelsTr/chaos_01.nii.gz").meta


def test_prepared_scans_are_read_as_they_are(prepared):
    """Neither clipped nor resampled again: the published slices, rows along A and columns along L."""
    path = prepared / "imagesTr/chaos_01.nii.gz"
    stored = torch.from_numpy(np.asarray(nib.load(path).dataobj, np.float32))  # axes L, A, S
    assert torch.equal(clipped(path)[0], stored.transpose(0, 1))


def description_of(header):
    return bytes(header["descrip"]).rstrip(b"\0").decode("latin-1")


def test_another_percentile_is_applied(prepared):
    path = prepared / "imagesTr/chaos_01.nii.gz"
    assert clipped(path, upper_percentile=90.0).max() < clipped(path).max()


def test_a_scan_without_the_mark_is_clipped(prepared, tmp_path):
    image = nib.load(prepared / "imagesTr/chaos_01.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), tmp_path / "plain.nii.gz")
    noisy = np.asarray(image.dataobj) + np.random.default_rng(0).normal(0, 30, image.shape).astype(np.int16)
    plain, marked = (nib.Nifti1Image(noisy, image.affine) for _ in range(2))
    mark_clipped(marked.header, 99.5)
    nib.save(plain, tmp_path / "plain.nii")
    nib.save(marked, tmp_path / "marked.nii")
    assert clipped(tmp_path / "plain.nii").max() < clipped(tmp_path / "marked.nii").max() == noisy.max()


def test_supports_of_marked_scans_are_not_clipped_either(prepared):
    preprocessing = ScanPreprocessing(
        spacing=(1.25, 1.25, 7.7), image_size=256, axcodes="ALS", intensity_mean=0, intensity_std=1
    )
    data = {"image": str(prepared / "imagesTr/chaos_01.nii.gz"), "label": str(prepared / "labelsTr/chaos_01.nii.gz")}
    for step in preprocessing.support_steps(slices=True):
        data = step(data)
    stored = np.asarray(nib.load(prepared / "imagesTr/chaos_01.nii.gz").dataobj)
    assert data["image"].max() == stored.max()


@pytest.mark.parametrize(
    "text", [b"", b"clipped", b"clipped above percentile", b"FSL5.0", b"clipped above percentile x"]
)
def test_other_descriptions_say_nothing(text):
    header = Nifti1Header()
    header["descrip"] = text
    assert clipped_percentile(description_of(header)) is None
    mark_clipped(header, 99.5)
    assert clipped_percentile(description_of(header)) == 99.5
