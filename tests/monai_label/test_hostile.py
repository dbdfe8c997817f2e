"""Requests that no honest client sends: each is refused, nothing changes, and the server goes on."""

import json

import nibabel as nib
import numpy as np
import pytest

from tests.e2e.tiny import AFFINE, save

pytestmark = pytest.mark.monai_label
BUNDLE = "adnet"
LABELS = [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 4}]


@pytest.fixture(scope="module")
def server(serve, packaged, dataset):
    server = serve([packaged(BUNDLE)], dataset / "imagesTr")
    assert server.put_label("case_1", dataset / "labelsTr/case_1.nii.gz", LABELS).status == 200
    return server


def state(server):
    """Files below the server's folder, and the answer to an honest request."""
    files = (path for folder in ("app", "studies", "work") for path in (server.folder / folder).rglob("*"))
    kept = {path: path.stat().st_mtime_ns for path in files if path.is_file() and path.suffix not in (".log", ".pyc")}
    answer = server.infer(BUNDLE, "case_2", {"label_name": "liver"})
    assert answer.status == 200, answer.json
    return kept, np.asarray(nib.load(answer.label).dataobj).tobytes()


@pytest.fixture(scope="module")
def at_first(server):
    return state(server)


@pytest.fixture
def unchanged(server, at_first):
    yield
    assert state(server) == at_first


def refused(answer, *words):
    assert 400 <= answer.status < 500, answer
    assert all(word in answer.json["detail"] for word in words), answer.json
    assert "\n" not in answer.json["detail"]


@pytest.mark.parametrize(
    "support", ["nosuch", "../case_1", "/etc/passwd", "case_1/../case_1", "case_1\0", ["case_1", "../x"], {"a": 1}, 7]
)
def test_a_support_outside_of_the_studies(server, unchanged, support):
    refused(server.infer(BUNDLE, "case_2", {"support": support, "label_name": "liver"}), "support")


@pytest.mark.parametrize("image", ["nosuch", "../case_2", "/etc/passwd"])
def test_an_image_outside_of_the_studies(server, unchanged, image):
    refused(server.infer(BUNDLE, image, {"label_name": "liver"}), "image")


@pytest.mark.parametrize("key", ["image", "label"])
def test_a_path_where_a_file_belongs(server, unchanged, key, tmp_path):
    path = save(tmp_path / "outside.nii.gz", np.ones((64, 60, 6), np.int16))
    refused(server.infer(BUNDLE, "case_2", {key: path, "support": "case_1"}), key)


@pytest.mark.parametrize("key", ["support", "label_name", "label_value", "device", "other"])
@pytest.mark.parametrize("start", ["$", "@"])
def test_an_expression_or_a_reference(server, unchanged, key, start, tmp_path):
    trace = tmp_path / "trace"
    value = f"{start}__import__('pathlib').Path({str(trace)!r}).touch()"
    refused(server.infer(BUNDLE, "case_2", {"label_name": "liver", key: value}), key)
    assert not trace.exists()


@pytest.mark.parametrize("key", ["support", "label_name", "label_value", "device", "other"])
def test_a_macro(server, unchanged, key, tmp_path):
    (tmp_path / "file.json").write_text(json.dumps({"key": "$import this"}))
    refused(server.infer(BUNDLE, "case_2", {"label_name": "liver", key: f"%{tmp_path}/file.json::key"}), key)


# Not for `device`: MONAI Label keeps it, and fails on it at every later request until it is started again.
@pytest.mark.parametrize("key", ["support", "label_name", "label_value"])
def test_a_macro_that_names_no_file(server, unchanged, key, tmp_path):
    answer = server.infer(BUNDLE, "case_2", {"label_name": "liver", key: f"%{tmp_path}/nosuch.json::key"})
    assert answer.status == 500  # MONAI Label reads the file before the bundle sees the request


@pytest.mark.parametrize("request_", [{"label_name": "heart"}, {"label_value": 3}, {"label_value": -1}, {}])
def test_an_unknown_organ(server, unchanged, request_):
    refused(server.infer(BUNDLE, "case_2", request_))


@pytest.mark.parametrize("value", ["NaN", "1e999", "[1]", '"one"', "null"])
def test_a_label_value_that_is_no_number(server, unchanged, value):
    fields = {"params": f'{{"label_value": {value}}}'}
    refused(server.call("POST", f"/infer/{BUNDLE}", {"image": "case_2"}, fields))


def test_a_mask_of_another_shape(server, unchanged, tmp_path):
    save(tmp_path / "mask.nii.gz", np.ones((64, 60, 5), np.int16))
    refused(server.infer(BUNDLE, "case_2", {"support": "case_1"}, label=tmp_path / "mask.nii.gz"), "(64, 60, 5)")


def test_a_mask_in_another_place(server, unchanged, tmp_path):
    elsewhere = AFFINE.copy()
    elsewhere[:3, 3] += 500
    save(tmp_path / "mask.nii.gz", np.ones((64, 60, 6), np.int16), elsewhere)
    refused(server.infer(BUNDLE, "case_2", {"support": "case_1"}, label=tmp_path / "mask.nii.gz"))


@pytest.mark.parametrize("content", [b"", b"no NIfTI file", b"\x1f\x8b\x08\x00broken"])
def test_a_mask_that_cannot_be_read(server, unchanged, content, tmp_path):
    (tmp_path / "mask.nii.gz").write_bytes(content)
    refused(server.infer(BUNDLE, "case_2", {"support": "case_1"}, label=tmp_path / "mask.nii.gz"))


def test_an_empty_mask(server, unchanged, tmp_path):
    save(tmp_path / "mask.nii.gz", np.zeros((64, 60, 6), np.int16))
    refused(server.infer(BUNDLE, "case_2", {"support": "case_1"}, label=tmp_path / "mask.nii.gz"))


def test_a_volume_of_not_a_number(server, unchanged, tmp_path):
    save(tmp_path / "scan.nii.gz", np.full((64, 60, 6), np.nan, np.float32))
    refused(server.infer(BUNDLE, "", {"label_name": "liver"}, file=tmp_path / "scan.nii.gz"))


def test_a_huge_volume(server, unchanged, tmp_path):
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((30000, 30000, 3000))
    header.set_sform(AFFINE, 1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    (tmp_path / "scan.nii").write_bytes(header.binaryblock + bytes(4) + bytes(1000))
    refused(server.infer(BUNDLE, "", {"label_name": "liver"}, file=tmp_path / "scan.nii"))


def test_a_label_that_does_not_fit_its_study(server, tmp_path):
    save(tmp_path / "odd.nii.gz", np.ones((32, 60, 6), np.int16))
    assert server.put_label("case_3", tmp_path / "odd.nii.gz", LABELS[:1]).status == 200  # MONAI Label checks nothing
    try:
        refused(server.infer(BUNDLE, "case_2", {"support": "case_3", "label_name": "liver"}), "(32, 60, 6)")
    finally:
        server.delete_label("case_3")
