"""``prepare folder`` sees the subjects that training sees, or refuses the folder as training does."""

from __future__ import annotations

import json
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from common.data import label_names, load_datalist
from common.errors import InputError
from common.tools.challenges import prepare
from common.tools.cli import app


def save(path: Path, seed: int) -> None:
    """A scan, or a label map of the values 0 to 2 where the path says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(1, 2000, (8, 7, 4), dtype=np.int16)
    if "label" in str(path) or "seg" in path.name:
        values %= 3
    if path.name.lower().endswith((".nii.gz", ".nii")):
        nib.save(nib.Nifti1Image(values, np.diag([2.0, 2, 5, 1])), path)
    else:
        itk.imwrite(itk.image_from_array(values.T.copy()), str(path))


def channels(raw: Path) -> None:
    for number, name in enumerate(("c0", "c1")):
        save(raw / "imagesTr" / f"{name}_0000.nii.gz", 2 * number)
        save(raw / "imagesTr" / f"{name}_0001.nii.gz", 2 * number + 1)
        save(raw / "labelsTr" / f"{name}.nii.gz", 9)


def nnunet_2(raw: Path) -> None:
    for number in range(3):
        save(raw / "imagesTr" / f"case_{number:03d}_0000.nii.gz", number)
        save(raw / "labelsTr" / f"case_{number:03d}.nii.gz", number)
    labels = {"background": 0, "liver": 1, "kidney": 2}
    described = {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": 3, "file_ending": ".nii.gz"}
    (raw / "dataset.json").write_text(json.dumps(described))


def flat(raw: Path) -> None:
    for number in range(2):
        save(raw / f"c{number}.nii.gz", number)
        save(raw / f"c{number}_seg.nii.gz", number)


def other_formats(raw: Path) -> None:
    for number, ending in enumerate((".nrrd", ".mha", ".nii")):
        save(raw / "images" / f"img{number}{ending}", number)
        save(raw / "images" / f"label{number}{ending}", number)


def below(raw: Path) -> None:
    for name in ("a", "b"):
        save(raw / name / "image.nii.gz", 1)
        save(raw / name / "label.nii.gz", 1)


@pytest.mark.parametrize("layout", [nnunet_2, flat, other_formats, below])
def test_same_subjects_as_in_training(tmp_path, layout):
    raw, output = tmp_path / "raw", tmp_path / "out"
    layout(raw)
    listed = load_datalist(raw, require_labels=True)
    summary = prepare("folder", raw, output, num_workers=1, say=lambda line: None)
    made = load_datalist(output, require_labels=True)
    assert [i["subject"] for i in listed] == summary.prepared == [i["subject"] for i in made] and not summary.missing
    assert set(label_names(output).values()) == {0, 1, 2}
    for before, after in zip(listed, made, strict=True):
        assert np.unique(nib.load(after["label"]).dataobj).tolist() == [0, 1, 2]
        if before["image"].endswith((".nii", ".nii.gz")):
            np.testing.assert_array_equal(nib.load(before["image"]).dataobj, nib.load(after["image"]).dataobj)


def test_channel(tmp_path):
    channels(tmp_path / "raw")
    arguments = ["prepare", "folder", "--input", str(tmp_path / "raw"), "--num-workers", "1", "--output"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "out")])
    message = str(result.exception)
    assert result.exit_code == 1 and "2 channels of subjects such as c0" in message and "--channel" in message
    assert "\n" not in message and not (tmp_path / "out").exists()
    for channel in ("0", "1"):
        output = tmp_path / channel
        result = CliRunner().invoke(app, [*arguments, str(output), "--channel", channel])
        assert result.exit_code == 0, result.output
        for item in load_datalist(output, require_labels=True):
            source = tmp_path / "raw" / "imagesTr" / f"{item['subject']}_000{channel}.nii.gz"
            np.testing.assert_array_equal(nib.load(item["image"]).dataobj, nib.load(source).dataobj)
    with pytest.raises(InputError, match="channel and allow_outside are for the challenge folder"):
        prepare("sabs", tmp_path / "raw", tmp_path / "sabs", channel=1)


def test_a_missing_listed_scan_is_named_and_nothing_is_prepared(tmp_path):
    nnunet_2(tmp_path / "raw")
    pairs = [{"image": f"imagesTr/case_{n:03d}.nii.gz", "label": f"labelsTr/case_{n:03d}.nii.gz"} for n in range(3)]
    (tmp_path / "raw" / "dataset.json").write_text(json.dumps({"training": pairs}))
    (tmp_path / "raw" / "imagesTr" / "case_002_0000.nii.gz").unlink()
    arguments = ["prepare", "folder", "--input", str(tmp_path / "raw"), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and "imagesTr/case_002.nii.gz is missing: restore" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_outside(tmp_path):
    save(tmp_path / "other" / "a.nii.gz", 1)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "dataset.json").write_text(json.dumps({"training": ["../other/a.nii.gz"]}))
    arguments = ["prepare", "folder", "--input", str(tmp_path / "raw"), "--num-workers", "1", "--output"]
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "out")])
    assert result.exit_code == 1 and "lies outside of the folder" in str(result.exception)
    result = CliRunner().invoke(app, [*arguments, str(tmp_path / "out"), "--allow-outside"])
    assert result.exit_code == 0 and len(load_datalist(tmp_path / "out")) == 1


def test_a_scan_without_a_header_is_left_out_if_asked(tmp_path):
    below(tmp_path / "raw")
    (tmp_path / "raw" / "a" / "image.nii.gz").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"first fault: .*a/image\.nii\.gz"):
        prepare("folder", tmp_path / "raw", tmp_path / "out", num_workers=1, say=lambda line: None)
    lines: list[str] = []
    summary = prepare("folder", tmp_path / "raw", tmp_path / "out", 1, skip_damaged=True, say=lines.append)
    assert summary.prepared == ["b_image"] and any("a/image.nii.gz" in line for line in lines)
