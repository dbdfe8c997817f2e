"""The picture of an answer: a row for each organ, numbered as the scan is stored."""

import json

import matplotlib
import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from monai.data import MetaTensor
from monai.transforms import Compose

from common.results import pictures
from common.transforms import SavePreviewd, ScanPreprocessing
from common.transforms.summary import PrintSummaryd

matplotlib.use("agg")


@pytest.fixture(params=["RAS", "LPI", "SAR"])
def answered(request, tmp_path):
    """A scan of 12 x 10 x 8 voxels in RAS, stored in other axes; organ 1 on its slices 2 to 6, organ 4 nowhere."""
    image = nib.Nifti1Image(np.random.default_rng(0).random((12, 10, 8)), np.diag([2.0, 2.0, 6.0, 1.0]))
    label = np.zeros(image.shape, np.int32)
    label[3:9, 4:8, 2:7] = 1
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(request.param)
    )
    stored = image.as_reoriented(turn)
    nib.save(stored, tmp_path / "scan.nii.gz")
    query = Compose(ScanPreprocessing([2.0, 2.0, 6.0], 16).steps)({"image": tmp_path / "scan.nii.gz"})["image"]
    drawn = torch.zeros(1, 16, 16, 3)
    drawn[:, 4:8, 4:8, 1] = 1
    drawn[:, 1:3, 1:3, 2] = 4
    query.meta["support_image"], query.meta["support_label"] = [torch.rand(1, 16, 16, 3)], [drawn]
    query.meta["support_organs"] = torch.tensor([1, 4])
    turned = nib.Nifti1Image(label, image.affine).as_reoriented(turn)
    prediction = MetaTensor(np.asarray(turned.dataobj)[None].copy(), affine=torch.as_tensor(turned.affine))
    data = {"image": query, "pred": prediction, "confidence": prediction.float() * 0.8}
    flipped = request.param[request.param.replace("I", "S").index("S")] == "I"
    return {**data, "answer": str(tmp_path / "scan"), "mark": "a mark"}, flipped


def test_rows_titles_and_places(answered, tmp_path, monkeypatch):
    data, flipped = answered
    kept: list[Figure] = []
    real = pictures.save_figure
    monkeypatch.setattr(pictures, "save_figure", lambda figure, *rest: [kept.append(figure), real(figure, *rest)][1])
    assert SavePreviewd("pred", names={1: "liver"})(data) == data
    assert (tmp_path / "scan_preview.png").read_bytes().startswith(b"\x89PNG")
    (figure,) = kept
    titles = [panel.get_title() for panel in figure.axes]
    numbers = [7 - index if flipped else index for index in (3, 4, 5)]  # a quarter, the middle, three quarters
    assert titles[:4] == ["support", *(f"slice {number}" for number in numbers)]
    assert all(title.endswith(": not found") for title in titles[5:])
    assert [text.get_text() for panel in figure.axes for text in panel.texts] == ["liver", "organ 4"]
    shown = figure.axes[2].images[1].get_array()  # rows go from anterior, columns from the patient's right
    assert np.argwhere(~np.ma.getmaskarray(shown)).min(0).tolist() == [2, 3]
    assert np.argwhere(~np.ma.getmaskarray(shown)).max(0).tolist() == [5, 8]


def test_json_for_machines(answered, capsys):
    data, flipped = answered
    PrintSummaryd("pred", names={1: "liver"}, style="json")(data)
    found = json.loads(capsys.readouterr().out)
    liver, other = found["organs"]
    assert found["segmentation"] == f"{data['answer']}_seg.nii.gz" and found["scan"].endswith("scan.nii.gz")
    assert liver["slices"] == ([1, 2, 3, 4, 5] if flipped else [2, 3, 4, 5, 6])
    assert liver["millilitres"] == pytest.approx(6 * 4 * 5 * 24 / 1000) and liver["mean_confidence"] == 0.8
    assert other == {"name": "organ 4", "value": 4, "millilitres": 0, "slices": [], "mean_confidence": None}
