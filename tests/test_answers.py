"""Names of results, and whose files they may replace."""

import os

import pytest
from matplotlib.figure import Figure

from common.errors import InputError
from common.results.answers import name_answers, names_apart
from common.results.marks import check_output, mark_of
from common.results.pictures import save_figure


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.nii.gz", "b.NII.GZ", "c.nrrd", "d.v2.nii"], ["a", "b", "c", "d.v2"]),
        (["patientA/image.nii.gz", "patientB/image.nii.gz"], ["patientA_image", "patientB_image"]),
        (["p1/late/CT.nii", "p2/late/CT.nii"], ["p1_CT", "p2_CT"]),
        (["p1/a/CT.nii", "p1/b/CT.nii", "p2/a/CT.nii"], ["p1_a_CT", "p1_b_CT", "p2_a_CT"]),
        (["x.nii", "x.nii.gz"], ["x_nii", "x_nii_gz"]),
        (["p/Scan.nii", "q/scan.nii"], ["p_Scan", "q_scan"]),
        (["p/scan.nii", "./p/../q/scan.nii", "other.nii"], ["p_scan", "q_scan", "other"]),
    ],
)
def test_names_tell_scans_apart(paths, names):
    assert names_apart(paths) == names


def test_folders_of_series_keep_what_follows_a_dot(tmp_path):
    for patient in ("p1", "p2"):
        for name in ("1.2.840.1", "DICOM"):
            (tmp_path / patient / name).mkdir(parents=True)
    paths = [str(tmp_path / "p1" / "1.2.840.1"), str(tmp_path / "p1" / "DICOM"), str(tmp_path / "p2" / "DICOM")]
    assert names_apart(paths) == ["1.2.840.1", "p1_DICOM", "p2_DICOM"]


@pytest.mark.parametrize(
    ("paths", "words"),
    [(["a.nii", "./a.nii"], "named twice"), (["p/x.nii", "q/x.nii", "p_x.nii"], "would be called p_x")],
)
def test_names_that_cannot_be_told_apart_are_refused(paths, words):
    with pytest.raises(InputError, match=words):
        names_apart(paths)


def test_queries_get_their_results_places_and_the_commands_mark(tmp_path):
    queries = [{"image": str(tmp_path / name), "other": 1} for name in ("a.nii.gz", "b.nii.gz")]
    first, second = name_answers(queries, tmp_path / "out", {"_seg.nii.gz": True}, ["s.nii.gz"], [[1, 4], "ep2"])
    assert first == {**queries[0], "answer": str(tmp_path / "out" / "a"), "mark": first["mark"]}
    assert first["mark"] != second["mark"]
    (again,) = name_answers(queries[:1], tmp_path / "elsewhere", {"_seg.nii.gz": True}, ["s.nii.gz"], [[1, 4], "ep2"])
    assert again["mark"] == first["mark"]
    (other,) = name_answers(queries[:1], tmp_path / "out", {"_seg.nii.gz": True}, ["s.nii.gz"], [[1], "ep2"])
    assert other["mark"] != first["mark"]


def test_a_file_without_the_mark_is_replaced_when_asked_only(tmp_path):
    path, mark = tmp_path / "a.png", mark_of("preview", tmp_path)
    check_output(path, mark)
    path.write_bytes(b"a person's")
    with pytest.raises(InputError, match=r"a\.png exists and was not made by this command"):
        check_output(path, mark)
    check_output(path, mark, overwrite=True)
    path.write_bytes(b"\x89PNG " + mark.encode() + b" ...")
    check_output(path, mark)
    for name in ("a.nii.gz", "a.nii"):
        (tmp_path / name).write_bytes(b"no NIfTI file")
        with pytest.raises(InputError, match="not made by this command"):
            check_output(tmp_path / name, mark)


def test_a_dangling_link_is_somebodys(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "away.nii.gz")
    with pytest.raises(InputError, match="not made by this command"):
        check_output(tmp_path / "a.nii.gz", mark_of())


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_inputs_are_safe_even_when_asked(tmp_path, link):
    (tmp_path / "scan.nii.gz").write_bytes(b"scan")
    link(tmp_path / "scan.nii.gz", tmp_path / "other.nii.gz")
    with pytest.raises(InputError, match="is an input of this command"):
        check_output(tmp_path / "other.nii.gz", mark_of(), [tmp_path / "scan.nii.gz"], overwrite=True)
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_bytes(b"slice")
    with pytest.raises(InputError, match="is an input of this command"):
        check_output(tmp_path / "series" / "1.dcm", mark_of(), [tmp_path / "series"], overwrite=True)


def test_a_picture_carries_its_mark(tmp_path):
    path, mark = tmp_path / "a.png", mark_of("preview", tmp_path)
    save_figure(Figure(figsize=(1, 1)), path, mark)
    check_output(path, mark)
    with pytest.raises(InputError, match="not made by this command"):
        check_output(path, mark_of("preview", tmp_path / "other"))
