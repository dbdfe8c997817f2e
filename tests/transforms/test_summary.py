"""The line for each organ: its size, its slices as they are stored, its name."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from common.data.companions import organ_names
from common.errors import InputError
from common.transforms import PrintSummaryd, ScanPreprocessing


@pytest.mark.parametrize(("codes", "axis"), [("RAS", 2), ("RSA", 1), ("SAR", 0)])
def test_millilitres_slices_and_confidence(tmp_path, capsys, codes, axis):
    """Cut along the axis with 6 mm between slices, wherever it is stored."""
    image = nib.Nifti1Image(np.random.default_rng(0).random((12, 10, 8)), np.diag([2.0, 2.0, 6.0, 1.0]))
    orientation = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    image = image.as_reoriented(orientation)
    nib.save(image, tmp_path / "scan.nii.gz")
    query = Compose(ScanPreprocessing([2.0, 2.0, 6.0], 16).steps)({"image": tmp_path / "scan.nii.gz"})["image"]
    query.meta["support_organs"] = torch.tensor([1, 4])
    label = np.zeros(image.shape, np.int32)
    label[(slice(None),) * axis + (slice(3, 6),)] = 1
    confidence = np.where(label == 1, 0.75, 0.25)
    affine = torch.as_tensor(image.affine)
    data = {"pred": MetaTensor(label[None], affine=affine), "confidence": MetaTensor(confidence[None], affine=affine)}
    PrintSummaryd("pred", names={1: "liver"})({**data, "image": query})
    millilitres = 3 * 12 * 10 * 24 / 1000
    assert capsys.readouterr().out.splitlines() == [
        f"scan.nii.gz: liver: {millilitres:.1f} ml, slices 3 to 5 (3), mean confidence 0.75",
        "scan.nii.gz: organ 4: not found",
    ]


def test_names_come_from_the_datasets_description(tmp_path):
    (tmp_path / "labelsTr").mkdir()
    label_map = tmp_path / "labelsTr/case.nii.gz"
    assert organ_names([label_map]) == {}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "liver"}}))
    assert organ_names([label_map]) == {1: "liver"}
    assert organ_names([tmp_path / "mine/case.nii.gz"]) == {}  # another folder's file says nothing about it
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="dataset.json"):
        organ_names([label_map])
