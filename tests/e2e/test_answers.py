"""What becomes of results: their names, their geometry, and that no other file is lost by them."""

import errno
import gzip
import os

import nibabel as nib
import numpy as np
import pytest

from common.configuration.workflow import bundle_workflow
from common.errors import guard
from common.files.writing import WriteError
from common.transforms import saving
from tests.e2e.tiny import AFFINE, SMALL, save, scan


@pytest.fixture
def segment(bundle_root, checkpoint, tmp_path):
    """Segment with a support of two organs; returns the output folder."""

    def run(*images, **replaced):
        support = {"support_image": tmp_path / "support.nii.gz", "support_label": tmp_path / "support_label.nii.gz"}
        if not support["support_image"].exists():
            for path, values in zip(support.values(), scan(3), strict=True):
                save(path, values)
        files = {**support, "output_dir": tmp_path / "out", "image": list(map(str, images))}
        settings = {**SMALL["adnet"], "device": "cpu", "checkpoint": checkpoint}
        settings |= {key: value if key == "image" else str(value) for key, value in files.items()} | replaced
        guard(bundle_workflow(bundle_root("adnet"), ["inference"], "infer", **settings).run)
        return tmp_path / "out"

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(run, *arguments, **options):
    with pytest.raises(SystemExit) as failure:
        run(*arguments, **options)
    message = str(failure.value)
    assert message.startswith("error: ") and "\n" not in message
    return message


def test_two_scans_of_one_name_get_names_that_tell_them_apart(segment, tmp_path):
    for number, patient in enumerate(("patientA", "patientB")):
        save(tmp_path / patient / "image.nii.gz", scan(number)[0])
    images = [tmp_path / patient / "image.nii.gz" for patient in ("patientA", "patientB")]
    out = segment(*images, save(tmp_path / "other.nii.gz", scan(5)[0]), confidence=True)
    stems = ("other", "patientA_image", "patientB_image")
    assert names(out) == [f"{stem}_{end}.nii.gz" for stem in stems for end in ("confidence", "seg")]
    answers = [nib.load(out / f"{stem}_seg.nii.gz").get_fdata() for stem in stems]
    assert not np.array_equal(answers[1], answers[2])
    segment(*images)  # the same command again


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_input_is_never_written_over(segment, tmp_path, link):
    image = save(tmp_path / "p.nii.gz", scan(1)[0])
    label = save(tmp_path / "p_seg.nii.gz", scan(1)[1])
    if link is not None:
        (tmp_path / "drawn").mkdir()
        link(label, tmp_path / "drawn" / "map.nii.gz")
        label = str(tmp_path / "drawn" / "map.nii.gz")
    before = (tmp_path / "p_seg.nii.gz").read_bytes()
    options = {"support_image": image, "support_label": label, "output_dir": str(tmp_path), "overwrite": True}
    assert f"p_seg.nii.gz: would be written over, and {label} is an input" in refused(segment, image, **options)
    assert (tmp_path / "p_seg.nii.gz").read_bytes() == before


def test_only_the_same_command_replaces_a_result(segment, tmp_path):
    image = save(tmp_path / "a.nii.gz", scan(1)[0])
    answer = segment(image) / "a_seg.nii.gz"
    first = answer.read_bytes()
    answer.touch()
    segment(image)
    assert answer.read_bytes() == first
    assert "a_seg.nii.gz exists and was not made by this command" in refused(segment, image, organs=[1])
    corrected = nib.load(answer)
    voxels = np.asanyarray(corrected.dataobj).copy()
    voxels[0, 0, 0] = 4
    nib.save(nib.Nifti1Image(voxels, None, corrected.header), answer)
    assert "was changed since" in refused(segment, image)
    assert np.array_equal(np.asanyarray(nib.load(answer).dataobj), voxels)
    segment(image, overwrite=True)
    assert answer.read_bytes() == first


def test_a_failing_scan_is_named_and_the_others_are_segmented(segment, tmp_path, capsys):
    good = [save(tmp_path / f"{name}.nii.gz", scan(number)[0]) for number, name in enumerate("ab")]
    bad = [tmp_path / "cut.nii.gz", tmp_path / "flat.nii.gz"]
    bad[0].write_bytes((tmp_path / "a.nii.gz").read_bytes()[:2000])
    save(bad[1], np.ones((64, 60, 6), np.float32))
    message = refused(segment, bad[0], good[0], bad[1], good[1])
    assert "2 of 4 scans failed" in message
    assert names(tmp_path / "out") == ["a_seg.nii.gz", "b_seg.nii.gz"]
    lines = [line for line in capsys.readouterr().out.splitlines() if "common.handlers.failures" in line]
    assert [str(path) in line for path, line in zip(bad, lines, strict=True)] == [True, True]


def test_a_bad_support_ends_at_once(segment, tmp_path):
    images = [save(tmp_path / f"{name}.nii.gz", scan(number)[0]) for number, name in enumerate("ab")]
    message = refused(segment, *images, support_image=str(tmp_path / "nowhere.nii.gz"))
    assert "nowhere.nii.gz" in message and "scans failed" not in message
    assert not (tmp_path / "out").exists()


def test_an_error_while_the_last_result_is_saved_is_not_lost(segment, tmp_path, monkeypatch):
    def refuse(path, content):
        raise WriteError(errno.ENOSPC, f"{path}: no space left")

    monkeypatch.setattr(saving, "write_bytes", refuse)
    image, other = (save(tmp_path / f"{name}.nii.gz", scan(number)[0]) for number, name in enumerate("ab"))
    assert "a_seg.nii.gz: no space left" in refused(segment, image)
    assert "no space left" in refused(segment, image, other)


def two_forms(values, shape=None):
    """A scan whose sform and qform differ, with codes, units and a description of its own."""
    image = nib.Nifti1Image(values if shape is None else values.reshape(shape), AFFINE)
    turned = AFFINE.copy()
    turned[:3, 3] = [39, -7, 2]
    image.set_sform(AFFINE, code=2)
    image.set_qform(turned, code=1)
    image.header.set_xyzt_units("mm", "msec")
    image.header["descrip"] = b"scanner"
    image.header.set_slope_inter(1, 0)
    return image


def test_the_scans_own_header_is_the_answers(segment, tmp_path):
    image = two_forms(scan(1)[0])
    nib.save(image, tmp_path / "a.nii.gz")
    out = segment(tmp_path / "a.nii.gz", confidence=True)
    for name, dtype in (("a_seg.nii.gz", np.int16), ("a_confidence.nii.gz", np.float32)):
        answer = nib.load(out / name)
        for ours, scans in (
            (answer.get_sform(True), image.get_sform(True)),
            (answer.get_qform(True), image.get_qform(True)),
        ):
            assert ours[1] == scans[1] and np.array_equal(ours[0], scans[0])
        assert answer.header.get_xyzt_units() == ("mm", "msec")
        assert answer.shape == image.shape and answer.get_data_dtype() == dtype
        gzip.decompress((out / name).read_bytes())
    assert set(np.unique(nib.load(out / "a_seg.nii.gz").get_fdata())) == {0, 1, 4}


def test_one_slice_and_a_fourth_axis_keep_their_shape(segment, tmp_path):
    values = scan(1, (64, 60, 1))[0]
    one_slice = save(tmp_path / "one.nii.gz", values)
    fourth = save(tmp_path / "fourth.nii.gz", scan(2)[0][..., None])
    out = segment(one_slice, fourth)
    assert nib.load(out / "one_seg.nii.gz").shape == (64, 60, 1)
    assert nib.load(out / "fourth_seg.nii.gz").shape == (64, 60, 6, 1)


def test_label_values_beyond_int16_are_kept(segment, tmp_path):
    image, label = scan(1)
    wide = np.select([label == 1, label == 4], [65537, 40000], 0).astype(np.int32)
    files = {"support_image": save(tmp_path / "s.nii.gz", image), "support_label": save(tmp_path / "l.nii.gz", wide)}
    out = segment(save(tmp_path / "a.nii.gz", scan(1)[0]), **files)
    answer = np.asanyarray(nib.load(out / "a_seg.nii.gz").dataobj)
    assert answer.dtype == np.int32 and set(np.unique(answer)) == {0, 40000, 65537}


@pytest.mark.parametrize(("unit", "scale"), [("micron", 1e-3), ("meter", 1e3)])
def test_units_of_the_header_count(segment, tmp_path, unit, scale):
    """The same scan in mm and in other units has the same answer, in the units of its own header."""
    values, images = scan(1)[0], []
    for name, factor in (("mm", 1), (unit, scale)):
        image = nib.Nifti1Image(values, np.diag([*np.diag(AFFINE)[:3] / factor, 1]))
        image.header.set_xyzt_units(name)
        images.append(tmp_path / f"{name}.nii.gz")
        nib.save(image, images[-1])
    answers = [nib.load(segment(*images) / f"{path.name.split('.')[0]}_seg.nii.gz") for path in images]
    assert np.array_equal(*(answer.get_fdata() for answer in answers)) and answers[0].get_fdata().any()
    assert answers[1].header.get_xyzt_units()[0] == unit
    assert np.allclose(answers[1].affine, np.diag([*np.diag(AFFINE)[:3] / scale, 1]))


def test_nearly_whole_label_values_are_rounded(segment, tmp_path):
    image, label = scan(3)
    support = {"support_image": save(tmp_path / "a.nii.gz", image)}
    path, exact = save(tmp_path / "p.nii.gz", scan(1)[0]), save(tmp_path / "exact.nii.gz", label)
    nearly = save(tmp_path / "nearly.nii.gz", label * np.float32(0.9999999))
    answers = []
    for name, drawn in (("exact", exact), ("nearly", nearly)):
        segment(path, **support, support_label=drawn, output_dir=str(tmp_path / name))
        answers.append(nib.load(tmp_path / name / "p_seg.nii.gz").get_fdata())
    assert np.array_equal(*answers) and answers[0].any()
