"""Which support a request to a MONAI Label server means; the server is a class of this file."""

import copy
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from common.data.monai_label import server as monai_label
from common.data.monai_label.choices import SupportChoices
from common.errors import InputError
from common.transforms import StudySupportd
from tests.e2e.tiny import save, scan


class LocalDatastore:
    """Studies in a folder, their labels in another, as MONAI Label keeps them."""

    def __init__(self, folder, labels):
        self.folder, self.labels = folder, labels

    def list_images(self):
        return [path.name.removesuffix(".nii.gz") for path in sorted(self.folder.glob("*.nii.gz"))]

    def get_image_uri(self, name):
        return str((self.folder / f"{name}.nii.gz").resolve())

    def get_labeled_images(self):
        return list(self.labels)

    def get_label_uri(self, name, tag):
        return str(self.folder / "labels" / f"{name}.nii.gz")

    def get_label_info(self, name, tag):
        return {"label_info": self.labels[name]}


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with four studies, the second in another folder behind a link; ``server(labels)`` submits label maps."""
    for number, name in enumerate(("a", "b", "c,d", "$e"), 1):
        image, label = scan(number)
        save(tmp_path / f"{name}.nii.gz", image)
        save(tmp_path / f"labels/{name}.nii.gz", label)
    (tmp_path / "away").mkdir()
    (tmp_path / "b.nii.gz").rename(tmp_path / "away/other.nii.gz")
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "away/other.nii.gz")

    def start(labels):
        store = LocalDatastore(tmp_path, labels)
        app = SimpleNamespace(datastore=lambda: store, sessions=lambda: None)
        module = SimpleNamespace(apps={"": app})
        monkeypatch.setitem(sys.modules, "monailabel.interfaces.utils.app", module)
        return store

    return start


LIVER = [{"name": "Liver", "idx": 1}]


def ask(store, image="a", **request):
    return StudySupportd(keys="image")({"image": store.get_image_uri(image), **request})


def test_the_newest_usable_label_is_the_support(server, caplog):
    store = server({"a": LIVER, "b": LIVER, "c,d": [{"name": "liver", "idx": "x"}]})
    d = ask(store)
    assert d["result"] == {"organs": {"liver": 1}, "support": ["b"], "label_names": {"liver": 1}}
    assert d["support_files"]["image"] == [store.get_image_uri("b")]
    assert "study c,d is not used: the idx of liver" in caplog.text
    with pytest.raises(InputError, match="study c,d cannot be used: the idx of liver"):
        ask(store, support="c,d")


@pytest.mark.parametrize("fault", ["empty", "text", "another grid", "half values"])
def test_a_label_map_that_cannot_be_used_breaks_no_other_request(server, tmp_path, caplog, fault):
    store = server({"a": LIVER, "b": LIVER})
    path = tmp_path / "labels/b.nii.gz"
    if fault in ("empty", "text"):
        path.write_bytes(b"" if fault == "empty" else b"no label map")
    else:
        save(path, np.full((64, 60, 6 if fault == "half values" else 5), 1.5 if fault == "half values" else 1.0))
    assert ask(store)["result"]["support"] == ["a"]
    assert "not the support" in caplog.text
    with pytest.raises(InputError, match="study b|b.nii.gz"):
        ask(store, support="b")


@pytest.mark.parametrize(
    ("info", "values"),
    [
        (None, {}),
        ([], {}),
        ([{"name": "Liver", "idx": 1}, {"name": "left  kidney", "idx": "2"}], {"liver": 1, "left kidney": 2}),
        ([{"name": "liver", "idx": 1}, {"name": "LIVER", "idx": 4}], {"liver": 1, "LIVER": 4}),
        ([{"name": "liver"}, {"model_name": "adnet"}, {"idx": 1}], {}),
    ],
)
def test_label_values(info, values):
    assert monai_label.label_values(info) == (values, "")


@pytest.mark.parametrize(
    "text",
    [
        *(f'[{{"name": "a", "idx": {value}}}]' for value in ('"x"', "null", "Infinity", "1.5", "-1", "true", "1e99")),
        *(f'[{{"name": {value}, "idx": 1}}]' for value in ("null", "5", '["a"]', '{"a": [1]}', '""')),
        *("[null]", "5", '"liver"', '{"liver": 1}', "[[1]]", "true", '[{"name": "a", "idx": "99999999999"}]'),
        '[{"name": "liver", "idx": 1}, {"name": "liver", "idx": 2}]',
    ],
)
def test_malformed_label_information_is_one_line(text):
    values, fault = monai_label.label_values(json.loads(text))
    assert values == {} and "label_info" in fault and "\n" not in fault


def test_names_that_differ_in_case_alone(server):
    store = server({"a": [{"name": "liver", "idx": 1}, {"name": "LIVER", "idx": 4}]})
    assert ask(store, label_name="LIVER")["support_files"]["values"] == [{4: 1}]
    assert ask(store, label_name="liver")["support_files"]["values"] == [{1: 1}]
    with pytest.raises(InputError, match="may be liver, LIVER in a"):
        ask(store, label_name="Liver")


BOTH = [{"name": "Spleen", "idx": 4}, {"name": "Liver", "idx": 1}]
SWAPPED = [{"name": "spleen", "idx": 1}, {"name": "liver", "idx": 4}]


@pytest.mark.parametrize(
    ("labels", "organs", "values"),
    [
        ({"a": BOTH}, {"liver": 1, "spleen": 2}, [{1: 1, 4: 2}]),
        ({"a": BOTH, "b": SWAPPED}, {"liver": 1, "spleen": 2}, [{1: 1, 4: 2}, {1: 2, 4: 1}]),
        ({"a": BOTH, "b": LIVER}, {"liver": 1, "spleen": 2}, [{1: 1, 4: 2}, {1: 1}]),
        ({"a": []}, {"organ 1": 1, "organ 4": 2}, [{1: 1, 4: 2}]),
        ({"a": LIVER}, {"liver": 1}, [{1: 1}]),
        ({"a": LIVER, "b": BOTH[:1]}, {"liver": 1, "spleen": 2}, [{1: 1}, {4: 2}]),
    ],
)
def test_without_an_organ_all_that_are_drawn_are_segmented(server, labels, organs, values):
    d = ask(server(labels), support=list(labels))
    assert d["result"]["organs"] == d["result"]["label_names"] == organs
    assert d["support_files"]["values"] == values


def test_an_organ_without_a_name_has_that_of_the_other_study(server, tmp_path):
    store = server({"a": LIVER, "b": []})
    save(tmp_path / "labels/b.nii.gz", np.where(scan(2)[1] == 4, 4, 0).astype(np.int16))
    d = ask(store, support=["b", "a"])
    assert d["result"]["organs"] == {"liver": 1} and d["support_files"]["values"] == [{4: 1}, {1: 1}]
    assert ask(store, support="b")["result"]["organs"] == {"foreground": 1}


def test_an_empty_label_is_refused(server, tmp_path):
    store = server({"a": LIVER})
    save(tmp_path / "labels/a.nii.gz", np.zeros((64, 60, 6), np.int16))
    with pytest.raises(InputError, match="the label of a is empty"):
        ask(store)


OWN = {"0": "background", "1": "Liver", "2": "spleen", "3": "left kidney"}


def test_a_bundles_own_organs_keep_their_values(server, tmp_path):
    output = {"pred": {"channel_def": OWN}}
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/metadata.json").write_text(json.dumps({"network_data_format": {"outputs": output}}))
    own = {"liver": 1, "spleen": 2, "left kidney": 3}
    store = server({"a": BOTH, "b": [{"name": "heart", "idx": 1}, {"name": "Spleen", "idx": 4}], "c,d": []})

    def answer(**request):
        return StudySupportd("image", str(tmp_path))({"image": store.get_image_uri("a"), **request})["result"]

    assert answer(support="a") == {"organs": {"liver": 1, "spleen": 2}, "support": ["a"], "label_names": own}
    assert answer(support="a", label_name="Spleen")["organs"] == {"spleen": 2}
    assert answer(support="b")["organs"] == {"heart": 4, "spleen": 2}
    assert answer(support="b")["label_names"] == own | {"heart": 4}
    assert answer(support=["c,d"])["organs"] == {"liver": 1, "organ 4": 4}


def test_the_server_does_not_replace_an_answers_organs(server):
    answer = ask(server({"a": BOTH}))["result"]
    answer["label_names"], answer["latencies"] = {"foreground": 1}, {"total": 1.0}
    expected = {"organs": {"liver": 1, "spleen": 2}, "support": ["a"], "label_names": {"liver": 1, "spleen": 2}}
    assert (
        answer == copy.deepcopy(answer) == json.loads(json.dumps(answer)) == {**expected, "latencies": {"total": 1.0}}
    )


@pytest.mark.parametrize("image", ["", ".", "..", "/etc/passwd", "nosuch", None, 5, ["a"], "\0"])
def test_the_query_is_a_study(server, image):
    server({"a": LIVER})
    with pytest.raises(InputError, match="^image: no study"):
        StudySupportd(keys="image")({"image": image})


def test_a_study_behind_a_link_is_a_study(server, tmp_path):
    store = server({"a": LIVER})
    assert ask(store, "b")["image"] == str(tmp_path / "away/other.nii.gz")
    with pytest.raises(InputError, match="no study outside.nii.gz on"):
        StudySupportd(keys="image")({"image": save(tmp_path / "away/outside.nii.gz", scan(9)[0])})


def test_a_file_is_an_upload_only_while_the_server_answers_with_it(server, tmp_path):
    store = server({"a": LIVER})
    path, mask = save(tmp_path / "away/sent.nii.gz", scan(9)[0]), save(tmp_path / "away/mask.nii.gz", scan(1)[1])
    # The server's function, as far as the bundle can see it.
    source = "def run_inference(transform, request, image_file, label_file):\n    return transform(request)"
    names = {"__name__": "monailabel.endpoints.infer"}
    exec(source, names)
    request = {"image": path, "label": mask, "label_value": 1, "support": "a"}
    answer = names["run_inference"](StudySupportd(keys="image"), request, path, mask)
    assert (answer["image"], answer["support_files"]["label"]) == (path, [mask])
    with ThreadPoolExecutor(1) as pool:  # as with MONAI_LABEL_INFER_CONCURRENCY
        inside = names["run_inference"](
            lambda d: pool.submit(StudySupportd(keys="image"), d).result(), request, path, mask
        )
    assert inside == answer
    for changed in ({"label": store.get_image_uri("b")}, {"label": ["x"]}, {"image": mask + "x"}):
        with pytest.raises(InputError):
            names["run_inference"](StudySupportd(keys="image"), {**request, **changed}, path, mask)
    with pytest.raises(InputError, match="no study sent.nii.gz on"):
        StudySupportd(keys="image")(request)
    (tmp_path / "away/another.raw").write_bytes(bytes(60))
    fields = "type: uint8\ndimension: 3\nsizes: 3 4 5\nencoding: raw\ndata file: another.raw\n\n"
    (tmp_path / "away/sent.nrrd").write_text(f"NRRD0004\n{fields}")
    reaching = str(tmp_path / "away/sent.nrrd")
    for key, files in (("image", (reaching, mask)), ("label", (path, reaching))):
        with pytest.raises(InputError, match=f"{key}: the file that was sent holds no voxels but another"):
            names["run_inference"](StudySupportd(keys="image"), {**request, key: reaching}, *files)


def test_the_supports_to_choose_from_are_those_of_the_moment(server, tmp_path):
    choices = SupportChoices()
    assert list(choices) == [""]
    labels = {"b": LIVER}
    server(labels)
    assert list(choices) == ["", "b"]
    labels["a"] = LIVER
    (tmp_path / "labels/a.nii.gz").touch()
    assert list(choices) == ["", "a", "b"]
    assert copy.deepcopy({"support": choices}) == {"support": ""}


def test_the_values_of_a_bad_label_are_counted(server, tmp_path):
    store = server({"a": []})
    save(tmp_path / "labels/a.nii.gz", np.arange(64 * 60 * 6, dtype=np.int32).reshape(64, 60, 6))
    with pytest.raises(InputError, match="holds 23039 different values"):
        ask(store)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{}/my scans/case 1.nii.gz: damaged; see {}/my scans/b.nii", "case 1.nii.gz: damaged; see b.nii"),
        ("no file /nosuch/folder/a.nii.gz; check '/etc/x'", "no file a.nii.gz; check 'x'"),
        ("1/2 mm and/or http://host/page, (/a/b)", "1/2 mm and/or http://host/page, (b)"),
        ("a line\n  and / another", "a line and / another"),
    ],
)
def test_clients_see_files_without_their_folders(tmp_path, message, said):
    (tmp_path / "my scans").mkdir()
    assert InputError(message.replace("{}", str(tmp_path))).detail == said
