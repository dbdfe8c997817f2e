"""Small inputs that once went wrong in silence, each through ``fewshot segment`` and through ``monai.bundle run``."""

import json
import logging
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from fire import Fire
from monai.bundle import run
from typer.testing import CliRunner

from common.configuration.workflow import bundle_workflow
from common.files.literals import literal
from common.tools.cli import app
from tests.conftest import forget_scripts
from tests.dicom.writer import values, write_series
from tests.e2e.tiny import AFFINE, SMALL, save, scan


@pytest.fixture(scope="module")
def bundle(bundle_root, tmp_path_factory):
    """SSL-ALPNet with a tiny network as overlay and weights that never saw a scan: it has background prototypes."""
    folder = tmp_path_factory.mktemp("bundles") / "ssl_alpnet"
    shutil.copytree(bundle_root("ssl_alpnet"), folder, ignore=shutil.ignore_patterns("models", "eval", "cache"))
    (folder / "configs" / "tiny.yaml").write_text(yaml.safe_dump({**SMALL["ssl_alpnet"], "device": "cpu"}))
    with pytest.MonkeyPatch.context() as patch:
        forget_scripts(patch)
        workflow = bundle_workflow(folder, ["inference", "tiny"], "infer")
        torch.manual_seed(0)
        (folder / "models").mkdir()
        torch.save(workflow.parser.get_parsed_content("network_def").state_dict(), folder / "models" / "model.pt")
    return folder


@pytest.fixture(params=["fewshot", "runner"])
def segment(request, bundle, tmp_path, own_scripts, capfd, caplog, monkeypatch):
    """Give ``segment(images, support, label, **settings)``: exit status, what was printed, and the answers by name."""

    # The log's handlers keep the standard output of the test before, which is closed.
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def by_fewshot(files, settings):
        options = [part for key, paths in files.items() for path in paths for part in (f"--{key}", path)]
        options += [part for key, value in settings.items() for part in (f"--{key}", value)]
        command = ["segment", "--bundle", str(bundle), "--config", "tiny", *options]
        result = CliRunner().invoke(app, [part.replace("_", "-") if part[:2] == "--" else part for part in command])
        return result.exit_code, result.output + str(result.exception)

    def by_runner(files, settings):
        configs = [str(bundle / "configs" / f"{name}.yaml") for name in ("inference", "tiny")]
        options = {key: literal(paths) for key, paths in files.items()}
        options |= {key: f"[{value}]" if "," in value else value for key, value in settings.items()}
        if "query_slices" in settings:
            options["protocol"] = "ep1"
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        try:
            Fire({"run": run}, ["run", "--config_file", str(configs), *arguments])
        except SystemExit as end:
            return 1, str(end.code)
        return 0, ""

    def door(images, support, label, output="out", **settings):
        files = {"image": images, "support_image": [support], "support_label": [label]}
        files = {key: list(map(str, paths)) for key, paths in files.items()}
        settings["output_dir"] = str(tmp_path / output)
        status, text = (by_fewshot if request.param == "fewshot" else by_runner)(files, settings)
        text += "".join(capfd.readouterr()) + caplog.text
        caplog.clear()
        assert "Traceback" not in text
        answers = sorted((tmp_path / output).glob("*.nii.gz")) if (tmp_path / output).is_dir() else []
        return status, text, {path.name: nib.load(path) for path in answers}

    return door


def pair(folder, image, label, affine=AFFINE):
    return save(folder / "scan.nii.gz", image, affine), save(folder / "drawn.nii.gz", label, affine)


def organs(image):
    return set(np.unique(image.dataobj).tolist()) - {0}


def test_thin_slices(segment, tmp_path):
    image, label = scan(1, (64, 60, 40))
    drawn = np.zeros_like(label)
    drawn[..., 18] = np.where(label[..., 18] == 1, 1, 0)
    drawn[..., 21] = np.where(label[..., 21] == 4, 4, 0)
    image, label = pair(tmp_path, image, drawn, np.diag([-2.0, 2.0, 1.5, 1.0]))
    status, text, answers = segment([image], image, label)
    assert (status, organs(answers["scan_seg.nii.gz"])) == (0, {1, 4}), text


def test_wide_field_of_view(segment, tmp_path):
    label = np.zeros((150, 64, 6), np.int16)
    label[4:20, 24:40], label[130:146, 24:40] = 1, 2
    noise = np.random.default_rng(0).normal(0, 10, label.shape)
    image = (100 + 300.0 * (label == 1) + 700.0 * (label == 2) + noise).clip(0)
    image, label = pair(tmp_path, image.astype(np.float32), label)
    status, text, answers = segment([image], image, label)
    assert (status, organs(answers["scan_seg.nii.gz"])) == (0, {1, 2}), text


def test_slice_numbers_of_a_sagittal_scan(segment, tmp_path):
    support, label = pair(tmp_path / "axial", *scan(1))
    image, _ = scan(2)
    axial = nib.Nifti1Image(image, AFFINE)
    nib.save(axial.as_reoriented([[1, 1], [2, 1], [0, 1]]), tmp_path / "sagittal.nii.gz")
    status, text, answers = segment([tmp_path / "sagittal.nii.gz"], support, label, query_slices="1,4")
    assert status == 0, text
    assert "query_slices 1 to 4 of 6 are counted along the first stored axis, inferior to superior" in text
    found = np.asarray(answers["sagittal_seg.nii.gz"].dataobj)
    assert found.shape == (6, 64, 60)
    assert found[[0, 5]].max() == 0 and found[1:5].max() > 0
    status, text, _ = segment([tmp_path / "sagittal.nii.gz"], support, label, output="b", query_slices="3,6")
    assert status == 1 and "slices are 0 to 5" in text


def test_two_scans_of_one_name(segment, tmp_path):
    support, label = pair(tmp_path, *scan(1))
    images = [save(tmp_path / patient / "image.nii.gz", scan(2)[0]) for patient in ("patientA", "patientB")]
    status, text, answers = segment(images, support, label)
    assert (status, list(answers)) == (0, ["patientA_image_seg.nii.gz", "patientB_image_seg.nii.gz"]), text


def test_a_drawn_label_map_is_not_written_over(segment, tmp_path):
    image, label = scan(1)
    files = save(tmp_path / "p.nii.gz", image), save(tmp_path / "p_seg.nii.gz", label)
    before = (tmp_path / "p_seg.nii.gz").read_bytes()
    status, text, _ = segment([files[0]], *files, output=".")
    assert status == 1 and "p_seg.nii.gz" in text
    assert (tmp_path / "p_seg.nii.gz").read_bytes() == before


def test_label_values(segment, tmp_path):
    image, label = scan(1)
    large = np.select([label == 1, label == 4], [65537, 1], 0).astype(np.int32)
    status, text, answers = segment([save(tmp_path / "scan.nii.gz", image)], *pair(tmp_path, image, large))
    assert (status, organs(answers["scan_seg.nii.gz"])) == (0, {1, 65537}), text
    nearly = np.where(label == 1, 0.9999999, 0).astype(np.float64)
    status, text, answers = segment([tmp_path / "scan.nii.gz"], *pair(tmp_path / "b", image, nearly), output="b")
    assert (status, organs(answers["scan_seg.nii.gz"])) == (0, {1}), text
    status, text, _ = segment([tmp_path / "scan.nii.gz"], *pair(tmp_path / "c", image, label * 0.5), output="c")
    assert status == 1 and "drawn.nii.gz: label value 0.5 found" in text


def test_damaged_scans_are_named_and_the_others_segmented(segment, tmp_path):
    support, label = pair(tmp_path, *scan(1))
    whole = (tmp_path / "scan.nii.gz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    contents = {"truncated": whole[:-400], "corrupt": bytes(flipped), "text": b"no scan"}
    for name, content in contents.items():
        (tmp_path / f"{name}.nii.gz").write_bytes(content)
    colour = np.zeros((8, 8, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, AFFINE), tmp_path / "rgb.nii.gz")
    images = [tmp_path / f"{name}.nii.gz" for name in [*contents, "rgb", "scan"]]
    status, text, answers = segment(images, support, label)
    assert (status, list(answers)) == (1, ["scan_seg.nii.gz"])
    assert all(f"{name}.nii.gz" in text for name in [*contents, "rgb"])


def test_header_units(segment, tmp_path):
    image, label = scan(1)
    support = pair(tmp_path, image, label)
    for unit, scale in (("micron", 1000), ("meter", 0.001)):
        header = nib.Nifti1Image(image, np.diag([-2.0 * scale, 2.0 * scale, 6.0 * scale, 1]))
        header.header.set_xyzt_units(unit)
        nib.save(header, tmp_path / f"{unit}.nii.gz")
    names = ("micron", "meter", "scan")
    status, text, answers = segment([tmp_path / f"{name}.nii.gz" for name in names], *support)
    assert status == 0, text
    found = [np.asarray(answers[f"{name}_seg.nii.gz"].dataobj) for name in names]
    assert found[0].any() and np.array_equal(found[0], found[2]) and np.array_equal(found[1], found[2])


def test_one_slice_keeps_its_shape_and_is_a_support_again(segment, tmp_path):
    support, label = pair(tmp_path, *scan(1))
    image = save(tmp_path / "one.nii.gz", scan(2)[0][:, :, 2:3])
    status, text, answers = segment([image], support, label)
    assert (status, answers["one_seg.nii.gz"].shape) == (0, (64, 60, 1)), text
    status, text, _ = segment([support], image, tmp_path / "out" / "one_seg.nii.gz", output="again")
    assert status == 0, text


def test_both_forms_of_the_geometry_are_kept(segment, tmp_path):
    image, label = scan(1)
    support = pair(tmp_path, image, label)
    moved = nib.Nifti1Image(image, AFFINE)
    moved.set_sform(AFFINE, 1)
    moved.set_qform(np.array(AFFINE) + np.outer([0, 39, 0, 0], [0, 0, 0, 1]), 2)
    nib.save(moved, tmp_path / "two forms.nii.gz")
    status, text, answers = segment([tmp_path / "two forms.nii.gz"], *support)
    assert status == 0, text
    for form in ("get_sform", "get_qform"):
        affine, code = getattr(answers["two forms_seg.nii.gz"], form)(coded=True)
        wanted, wanted_code = getattr(moved, form)(coded=True)
        assert code == wanted_code and np.allclose(affine, wanted)


def test_comma_in_a_name(segment, tmp_path):
    support = pair(tmp_path, *scan(1))
    status, text, answers = segment([save(tmp_path / "scan, portal.nii.gz", scan(2)[0])], *support)
    assert (status, list(answers)) == (0, ["scan, portal_seg.nii.gz"]), text


def test_dicom_segmentation_of_a_series_with_odd_dates(segment, tmp_path):
    def odd(dataset, index):
        dataset.PatientBirthDate, dataset.StudyTime, dataset.PatientSex = "19500101", "12:30:00", "O"
        dataset["PatientBirthDate"]._value = "1950"

    write_series(tmp_path / "series", values(), change=odd)
    label = np.zeros((48, 40, 5), np.uint8)
    label[10:30, 10:30, 2] = 1
    affine = np.array([[-1, 0, 0, 20], [0, -1.5, 0, -30], [0, 0, 3, -40], [0, 0, 0, 1.0]])
    drawn = save(tmp_path / "drawn.nii.gz", label, affine)
    status, text, answers = segment([tmp_path / "series"], tmp_path / "series", drawn)
    assert (status, list(answers)) == (0, ["series_seg.nii.gz"]), text
    result = CliRunner().invoke(
        app,
        ["dicom-seg", "--series", str(tmp_path / "series"), "--label", drawn, "--output", str(tmp_path / "seg.dcm")],
    )
    assert result.exit_code == 0, result.output + str(result.exception)
    assert (tmp_path / "seg.dcm").is_file()


def two_scans(folder, image="{}.nii.gz", label="{}.nii.gz"):
    for number in (1, 2):
        for name, volume in zip((image, label), scan(number), strict=True):
            save(folder / name.format(f"c{number}"), volume)
    return folder


def describe(folder, **content):
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(params=["prepare", "runner"])
def subjects(request, bundle, tmp_path, own_scripts, capfd, monkeypatch):
    """Give ``subjects(folder, **settings)``: status, text, and which subjects a dataset folder has for a command."""
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def prepare(folder, **settings):
        options = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
        command = ["prepare", "folder", "--input", str(folder), "--output", str(tmp_path / "out"), "--num-workers", "1"]
        result = CliRunner().invoke(app, [*command, *options])
        written = sorted((tmp_path / "out" / "imagesTr").glob("*")) if (tmp_path / "out").exists() else []
        return result.exit_code, result.output + str(result.exception), [path.name[:2] for path in written]

    def runner(folder, **settings):
        support = pair(tmp_path / "support", *scan(1))
        configs = str([str(bundle / "configs" / f"{name}.yaml") for name in ("inference", "tiny")])
        options = {"dataset_dir": folder, "output_dir": tmp_path / "out", "support_image": support[0], **settings}
        options["support_label"] = support[1]
        arguments = [part for key, value in options.items() for part in (f"--{key}", str(value))]
        status, text = 0, ""
        try:
            Fire({"run": run}, ["run", "--config_file", configs, *arguments])
        except SystemExit as end:
            status, text = 1, str(end.code)
        written = sorted((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else []
        return status, text, [path.name[:2] for path in written]

    def door(folder, **settings):
        status, text, found = (prepare if request.param == "prepare" else runner)(folder, **settings)
        text += "".join(capfd.readouterr())
        assert "Traceback" not in text
        return status, text, found

    return door


def test_nnunet_datasets(subjects, tmp_path):
    folder = two_scans(tmp_path / "data", "imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz")
    describe(
        folder, channel_names={"0": "T2"}, labels={"background": 0, "liver": 1}, numTraining=2, file_ending=".nii.gz"
    )
    status, text, found = subjects(folder)
    assert (status, found) == (0, ["c1", "c2"]), text


def test_a_listed_scan_that_is_missing(subjects, tmp_path):
    folder = two_scans(tmp_path / "data", "imagesTr/{}.nii.gz", "labelsTr/{}.nii.gz")
    (folder / "imagesTr" / "c2.nii.gz").unlink()
    items = [{"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"} for name in ("c1", "c2")]
    status, text, found = subjects(describe(folder, labels={"liver": 1}, training=items))
    assert (status, found) == (1, []) and "c2.nii.gz" in text


def test_label_maps_beside_their_scans(subjects, tmp_path):
    status, text, found = subjects(two_scans(tmp_path / "data", "{}.nii.gz", "{}_seg.nii.gz"))
    assert (status, found) == (0, ["c1", "c2"]), text


def test_channels_of_one_subject(subjects, tmp_path):
    folder = two_scans(tmp_path / "data", "imagesTr/{}_0000.nii.gz", "labelsTr/{}.nii.gz")
    two_scans(folder, "imagesTr/{}_0001.nii.gz", "labelsTr/{}.nii.gz")
    status, text, found = subjects(folder)
    assert (status, found) == (1, []) and "channel" in text
    status, text, found = subjects(folder, channel=1)
    assert (status, found) == (0, ["c1", "c2"]), text
