"""Requests that no honest client sends: each is refused, nothing changes, and the server goes on."""

import json
import re
import shutil
import time

import nibabel as nib
import numpy as np
import pytest

from tests.e2e.tiny import AFFINE, save, scan
from tests.monai_label.orthanc import write_series

pytestmark = pytest.mark.monai_label
BUNDLE = "adnet"
LABELS = [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 4}]


@pytest.fixture(scope="module")
def server(serve, packaged, dataset, tmp_path_factory):
    studies = shutil.copytree(dataset / "imagesTr", tmp_path_factory.mktemp("hostile") / "studies")
    for name in ("a,b", "$c"):
        shutil.copy(studies / "case_1.nii.gz", studies / f"{name}.nii.gz")
    server = serve([packaged(BUNDLE)], studies)
    shutil.copy(studies / "case_2.nii.gz", server.folder / "work")
    assert server.put_label("case_1", dataset / "labelsTr/case_1.nii.gz", LABELS).status == 200
    return server


def state(server):
    """Files below the server's folder, and the answer to an honest request."""
    files = (path for folder in ("app", "studies", "work") for path in (server.folder / folder).rglob("*"))
    kept = {path: path.stat().st_mtime_ns for path in files if path.is_file() and path.suffix not in (".log", ".pyc")}
    answer = server.infer(BUNDLE, "case_2", {"label_name": "liver"})
    return kept, voxels(answer)


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
    assert not re.search(r"\n|(^|[\s'\"(])/\w", answer.json["detail"]), answer.json
    assert len(answer.json["detail"]) < 400


def voxels(answer):
    assert answer.status == 200, answer.json
    return np.asarray(nib.load(answer.label).dataobj).tobytes()


@pytest.mark.parametrize(
    "support",
    [
        *("nosuch", "../case_1", "/etc/passwd", "case_1/../case_1", "case_1\0", "case_1,nosuch", "x" * 10_000, ".."),
        *(["case_1", "../x"], ["case_1,case_1"], ["case_1", 5], [["case_1"]], [None], {"a": 1}, 7, 1.5, True),
        *({"_target_": "os.system", "command": "false"}, ["$import this"], ["@device"]),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_support_outside_of_the_studies(server, unchanged, support):
    refused(server.infer(BUNDLE, "case_2", {"support": support, "label_name": "liver"}), "support")


@pytest.mark.parametrize("image", ["nosuch", "../case_2", "/etc/passwd", ".", "..", "/", "case_2.nii", "x" * 5000])
def test_an_image_outside_of_the_studies(server, unchanged, image):
    refused(server.infer(BUNDLE, image, {"label_name": "liver"}), "image")


@pytest.mark.parametrize("image", [None, 5, True, ["case_2"], {"case_2": 1}, "."])
def test_an_image_of_another_kind(server, unchanged, image):
    refused(server.infer(BUNDLE, "case_2", {"image": image, "label_name": "liver"}), "image")


@pytest.mark.parametrize("label", ["", "x", ".", 5, True, ["x"], {"a": 1}])
def test_a_mask_of_another_kind(server, unchanged, label):
    refused(server.infer(BUNDLE, "case_2", {"label": label, "support": "case_1"}), "label")


@pytest.mark.parametrize("folder", ["home", "work", "app/model", "studies/labels"])
@pytest.mark.parametrize("name", ["outside.nii.gz", "tmpab3_9xyz.nii.gz"])
@pytest.mark.parametrize("key", ["image", "label"])
def test_a_path_where_a_file_belongs(server, unchanged, key, folder, name):
    path = server.folder / folder / name
    save(path, scan(9)[0 if key == "image" else 1])
    refused(server.infer(BUNDLE, "case_2", {key: str(path), "support": "case_1", "label_name": "liver"}), key)
    if key == "image":
        refused(server.infer(BUNDLE, str(path), {"support": "case_1", "label_name": "liver"}), key)
    path.unlink()


def test_a_study_by_another_path_is_that_study(server, at_first):
    for image in ("../studies/case_2.nii.gz", "case_2.nii.gz/../../studies/case_2.nii.gz", "case_2"):
        answer = server.infer(BUNDLE, image, {"label_name": "liver"})
        assert answer.status == 400 or voxels(answer) == at_first[1]


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


# Not for ``device``: MONAI Label keeps it, and fails on it at every later request until it is started again.
@pytest.mark.parametrize("key", ["support", "label_name", "label_value"])
def test_a_macro_that_names_no_file(server, unchanged, key, tmp_path):
    answer = server.infer(BUNDLE, "case_2", {"label_name": "liver", key: f"%{tmp_path}/nosuch.json::key"})
    assert answer.status == 500  # MONAI Label reads the file before the bundle sees the request


@pytest.mark.parametrize("device", ["nonsense", "meta", "cpu:7", "cpu:0", "$1", "@device"])
def test_a_device_that_is_none(server, unchanged, device):
    refused(server.infer(BUNDLE, "case_2", {"label_name": "liver", "device": device}), "device")


@pytest.mark.parametrize(
    "request_",
    [
        *({"label_name": "heart"}, {"label_value": 3}, {"label_value": -1}, {"label_name": "x" * 100_000}),
        *({"label_name": value} for value in (["liver"], {"liver": 1}, 5, True, "li\nver", "\0")),
        *({"label_value": value} for value in (1.7, 1.0, True, "1", 1e300, 10**30, 2**31, {"a": 1}, [[]])),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_unknown_organ(server, unchanged, request_):
    refused(server.infer(BUNDLE, "case_2", request_))


@pytest.mark.parametrize(
    "option",
    [
        *({"model_filename": value} for value in ("../../../x.pt", "/etc/passwd", "", [], ["../x"], 5, None)),
        *({"result_extension": value} for value in ("/../../x.nii", ".exe", 5, [".nii"])),
        *({"result_dtype": value} for value in ("object", "U9", 5, ["int16"])),
        *(
            {"label_tag": value, "save_label": True}
            for value in ("..", ".", "../../x", "/tmp/x", "a/b", "", 5, None, [])
        ),
        *({"query_slices": value} for value in ("1", "4,2", "a,b", [1, 2, 3], [0, 99], {"a": 1}, "1,$2", True)),
        *({"confidence": True, "result_dtype": "uint8"}, {"confidence": "yes"}, {"confidence": 1}),
        {"result_compress": "x"},
    ],
    ids=repr,
)
def test_an_option_that_the_server_would_fail_on(server, unchanged, option):
    refused(server.infer(BUNDLE, "case_2", {"label_name": "liver", **option}), next(iter(option)))


@pytest.mark.parametrize(
    "option",
    [
        *({"skip_writer": True}, {"result_write_to_file": False}, {"latencies": 5}, {"centroids": 5}, {"pred": "x"}),
        *({"support_files": {"image": ["/etc/passwd"], "label": ["/etc/passwd"]}}, {"result": {"organs": 1}}),
        *(
            {"session": {"image": "/etc/passwd"}},
            {"labels": 7},
            {"foreground": {}},
            {"network": "x", "_target_": "os.abort"},
        ),
        *({"pred_meta_dict": {"affine": "x"}}, {"image_meta_dict": 1}, {"use_click": True}, {"bundle_root": "/"}),
    ],
    ids=repr,
)
def test_a_key_that_is_the_servers_own_is_ignored(server, at_first, option):
    answer = server.infer(BUNDLE, "case_2", {"label_name": "liver", **option})
    assert voxels(answer) == at_first[1]
    assert (answer.json["organs"], answer.json["support"]) == ({"liver": 1}, ["case_1"])
    assert str(server.folder) not in json.dumps(answer.json)
    assert state(server) == at_first


@pytest.mark.parametrize("params", ["5", "nonsense", '{"device": 5}', '{"logging": "x"}', '{"model": 1}'])
def test_what_monai_label_itself_fails_on(server, unchanged, params):
    before = len(server.log.read_text())
    assert server.call("POST", f"/infer/{BUNDLE}", {"image": "case_2"}, {"params": params}).status == 500
    assert "scripts/common" not in server.log.read_text()[before:]


@pytest.mark.parametrize("image", ["/etc/passwd", ".", "../case_2", "nosuch"])
def test_batch_inference_of_other_files(server, unchanged, image):
    body = json.dumps({"images": [image], "label_name": "liver", "device": "cpu", "multi_gpu": False})
    refused(server.call("POST", f"/batch/infer/{BUNDLE}", {"run_sync": "true"}, body=body), "image")


@pytest.mark.parametrize("value", ["NaN", "1e999", "[1]", '"one"'])
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


def test_a_session_is_segmented(server, at_first, dataset, tmp_path):
    file = dataset / "imagesTr/case_2.nii.gz"
    assert voxels(server.infer(BUNDLE, "", {"label_name": "liver"}, session=server.open_session(file))) == at_first[1]
    image, label = scan(2)
    series = tmp_path / "series"
    write_series(series, image, AFFINE, "case_2", "MR")
    session = server.open_session(*sorted(series.iterdir()))
    assert server.infer(BUNDLE, "", {"label_name": "liver"}, session=session).status == 200
    mask = save(tmp_path / "mask.nii.gz", label)
    answer = server.infer(
        BUNDLE, "", {"label_value": 1}, session=server.open_session(file), label=tmp_path / "mask.nii.gz"
    )
    assert answer.status == 200, (answer.json, mask)


@pytest.mark.parametrize("session", ["nosuch", "..", "../..", "/etc", "x" * 100])
def test_a_session_that_is_none(server, unchanged, session):
    refused(server.infer(BUNDLE, "", {"label_name": "liver"}, session=session), "image")


def test_a_session_leads_to_no_other_file(server, unchanged, dataset, tmp_path):
    outside = save(server.folder / "home" / "outside.nii.gz", scan(9)[0])
    note = tmp_path / "meta.info"
    note.write_text(json.dumps({"name": "x", "path": "/", "image": outside, "expiry": 3600}))
    session = server.open_session(note, dataset / "imagesTr/case_2.nii.gz")
    (folder,) = (server.folder / "home/.cache/monailabel/sessions" / session).glob("*/")
    for name in (f"{session}/{folder.name}", str(folder)):
        refused(server.infer(BUNDLE, "", {"label_name": "liver"}, session=name), "image")


def test_a_label_that_does_not_fit_its_study(server, tmp_path):
    save(tmp_path / "odd.nii.gz", np.ones((32, 60, 6), np.int16))
    assert server.put_label("case_3", tmp_path / "odd.nii.gz", LABELS[:1]).status == 200  # MONAI Label checks nothing
    try:
        refused(server.infer(BUNDLE, "case_2", {"support": "case_3", "label_name": "liver"}), "(32, 60, 6)")
    finally:
        server.delete_label("case_3")


@pytest.fixture
def submit(server, dataset):
    """Submit a label for case_3 with any label_info, as JSON; it is deleted at the end."""
    path = server.studies / "labels" / "final" / "case_3.nii.gz"

    def put(info, file=dataset / "labelsTr/case_3.nii.gz"):
        fields = {"params": f'{{"label_info": {info}}}', "label": file}
        assert server.call("PUT", "/datastore/label", {"image": "case_3", "tag": "final"}, fields).status == 200

    yield put
    server.call("DELETE", "/datastore/label", {"id": "case_3", "tag": "final"})
    end = time.monotonic() + 30
    while server.info()["datastore"]["completed"] > 1 and time.monotonic() < end:
        time.sleep(0.1)
    assert not path.exists()


@pytest.mark.parametrize(
    "info",
    [
        *(f'[{{"name": "liver", "idx": {value}}}]' for value in ('"x"', "null", "Infinity", "1.5", "[{}]")),
        *(f'[{{"name": {value}, "idx": 1}}]' for value in ("null", '{"a": [1]}')),
        *("[null]", "5", '{"name": "liver", "idx": 1}', '"liver"', "true"),
    ],
)
def test_a_malformed_label_breaks_no_other_request(server, at_first, submit, info):
    submit(info)
    newest = server.infer(BUNDLE, "case_2", {"label_name": "liver"})
    assert voxels(newest) == at_first[1] and newest.json["support"] == ["case_1"]
    assert voxels(server.infer(BUNDLE, "case_2", {"label_name": "liver", "support": "case_1"})) == at_first[1]
    refused(server.infer(BUNDLE, "case_2", {"label_name": "liver", "support": "case_3"}), "case_3", "label_info")
    assert "the label of study case_3 is not used" in server.tail(200)


@pytest.mark.parametrize("content", [b"", b"no NIfTI file", "(64, 60, 5)"], ids=repr)
def test_a_damaged_label_breaks_no_other_request(server, at_first, submit, content, tmp_path):
    file = tmp_path / "label.nii.gz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        save(file, np.ones((64, 60, 5), np.int16))
    submit("[]", file)
    newest = server.infer(BUNDLE, "case_2", {"label_name": "liver"})
    assert voxels(newest) == at_first[1] and newest.json["support"] == ["case_1"]
    refused(server.infer(BUNDLE, "case_2", {"label_value": 1, "support": "case_3"}), "case_3")


def test_organs_that_differ_in_case_are_told_apart(server, submit, dataset):
    submit(json.dumps([{"name": "liver", "idx": 1}, {"name": "LIVER", "idx": 4}]))
    found = {}
    for name, value in (("liver", 1), ("LIVER", 4)):
        answer = server.infer(BUNDLE, "case_2", {"label_name": name, "support": "case_3"})
        by_value = server.infer(BUNDLE, "case_2", {"label_value": value, "support": "case_3"})
        assert answer.json["organs"] == by_value.json["organs"] == {name: 1}
        found[name] = voxels(answer)
        assert found[name] == voxels(by_value)
    assert found["liver"] != found["LIVER"]
    refused(server.infer(BUNDLE, "case_2", {"label_name": "Liver", "support": "case_3"}), "liver, LIVER")


def test_the_values_of_a_bad_label_stay_here(server, submit, tmp_path):
    submit("[]")
    save(tmp_path / "scan.nii.gz", np.arange(64 * 60 * 6, dtype=np.int32).reshape(64, 60, 6))
    for options in ({}, {"label_value": 10**6}):
        answer = server.infer(BUNDLE, "case_2", {"support": "case_1", **options}, label=tmp_path / "scan.nii.gz")
        refused(answer)
        assert not re.search(r"\d, \d", answer.json["detail"])


def test_ids_with_commas_and_dollars_are_taken_as_they_are(server, dataset, at_first):
    for name in ("a,b", "$c"):
        assert server.put_label(name, dataset / "labelsTr/case_1.nii.gz", LABELS).status == 200
    try:
        for support, names in (
            ("a,b", ["a,b"]),
            (["a,b"], ["a,b"]),
            ("$c", ["$c"]),
            (["$c"], ["$c"]),
            (["a,b", "$c"], ["a,b", "$c"]),
            ("case_1,$c", ["case_1", "$c"]),
        ):
            answer = server.infer(BUNDLE, "case_2", {"support": support, "label_name": "liver"})
            assert answer.json["support"] == names, (support, answer.json)
        assert server.infer(BUNDLE, "$c", {"support": "case_1", "label_name": "liver"}).status == 200
    finally:
        for name in ("a,b", "$c"):
            server.delete_label(name)
