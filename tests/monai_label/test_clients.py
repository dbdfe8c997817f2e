"""What 3D Slicer and OHIF send and read: organs by name, several in one run, what the options table offers."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from common.data.reading import read_label
from common.tools.packaging.naming import name_organs
from tests.e2e.tiny import FLOORS

pytestmark = pytest.mark.monai_label
BUNDLE, NAMED = "adnet", "adnet_named"
LABELS = [{"name": "Liver", "idx": 1}, {"name": "Spleen", "idx": 4}]
# What 3D Slicer's plugin adds to the rows of its options table.
SLICER = {"result_extension": ".nrrd", "result_dtype": "uint8"}


@pytest.fixture(scope="module")
def server(serve, packaged, dataset, tmp_path_factory):
    """One server with a bundle as it is, and the same with names of its organs."""
    named = shutil.copytree(packaged(BUNDLE), tmp_path_factory.mktemp("named") / NAMED)
    name_organs(named / "configs/metadata.json", {1: "Spleen", 2: "left kidney", 3: "Liver"})
    server = serve([packaged(BUNDLE), named], dataset / "imagesTr")
    assert server.put_label("case_1", dataset / "labelsTr/case_1.nii.gz", LABELS).status == 200
    return server


def run(server, model, **options):
    """Press Run in 3D Slicer: every row of the options table as it stands, the first of each list."""
    rows = server.info()["models"][model]["config"]
    table = {key: value[0] if isinstance(value, list) else value for key, value in rows.items()}
    return server.infer(model, "case_2", {**table, **SLICER, **options})


def segments(answer):
    """Read an answer as 3D Slicer does: value n of the map is the n-th name."""
    assert answer.status == 200, answer.json
    names = sorted(answer.json["label_names"], key=answer.json["label_names"].get)
    values = read_label(answer.label)[0].numpy()
    assert set(np.unique(values)) <= set(range(len(names) + 1))
    return {name: values == number for number, name in enumerate(names, 1)}


def dice(mask, dataset, value):
    drawn = np.asarray(nib.load(dataset / "labelsTr/case_2.nii.gz").dataobj) == value
    return 2 * (mask & drawn).sum() / (mask.sum() + drawn.sum())


def test_a_plain_run_segments_every_organ_under_its_name(server, dataset):
    found = segments(run(server, BUNDLE))
    assert list(found) == ["liver", "spleen"]
    assert dice(found["liver"], dataset, 1) > FLOORS[BUNDLE] and found["spleen"].any()
    for name, mask in found.items():
        alone = segments(run(server, BUNDLE, label_name=name))
        assert list(alone) == [name] and (alone[name] >= mask).all()


def test_the_organs_that_a_bundle_was_packaged_for_are_its_labels(server, dataset):
    info = server.info()
    assert info["models"][NAMED]["labels"] == {"spleen": 1, "left kidney": 2, "liver": 3}
    assert info["models"][BUNDLE]["labels"] == {"foreground": 1}
    found = segments(run(server, NAMED))
    assert list(found) == ["spleen", "left kidney", "liver"] and not found["left kidney"].any()
    for name, mask in segments(run(server, BUNDLE)).items():
        assert np.array_equal(found[name], mask)
    alone = run(server, NAMED, label_name="spleen")
    assert alone.json["organs"] == {"spleen": 1} and not segments(alone)["liver"].any()


def test_batch_inference_keeps_the_names_beside_the_label(server):
    options = {"device": "cpu", "multi_gpu": False}
    assert server.batch_infer(BUNDLE, "unlabeled", **options).status == 200
    stored = server.datastore()["objects"]["case_2"]["labels"]["original"]["info"]["params"]
    assert stored["label_names"] == {"liver": 1, "spleen": 2} and stored["support"] == ["case_1"]
    assert json.dumps(stored)


def test_the_labelled_studies_can_be_chosen_as_support(server, dataset):
    def offered():
        return server.info()["models"][BUNDLE]["config"]["support"]

    assert offered() == ["", "case_1"]
    assert server.put_label("case_3", dataset / "labelsTr/case_3.nii.gz", LABELS).status == 200
    try:
        assert offered() == ["", "case_3", "case_1"]
        assert run(server, BUNDLE).json["support"] == server.infer(BUNDLE, "case_2").json["support"] == ["case_3"]
        assert run(server, BUNDLE, support="case_1").json["support"] == ["case_1"]
    finally:
        server.delete_label("case_3")
    assert offered() == ["", "case_1"]


def test_a_range_of_slices_limits_the_answer(server):
    everywhere, within = run(server, BUNDLE), run(server, BUNDLE, query_slices="2,3")
    assert segments(everywhere)["liver"][..., [1, 4]].any()
    for mask in segments(within).values():
        assert mask[..., 2:4].any() and not mask[..., [0, 1, 4, 5]].any()
    outside = run(server, BUNDLE, query_slices="2,9")
    assert outside.status == 400 and "slices are 0 to 5" in outside.json["detail"]


def test_the_confidence_comes_in_place_of_the_label_map(server):
    label = np.asarray(nib.load(server.infer(BUNDLE, "case_2").label).dataobj)
    answer = server.infer(BUNDLE, "case_2", {"confidence": True})
    confidence = nib.load(answer.label)
    assert np.allclose(confidence.affine, nib.load(server.studies / "case_2.nii.gz").affine)
    values = np.asarray(confidence.dataobj)
    assert values.min() >= 0 and 0.5 < values.max() <= 1 and np.array_equal(values > 0.5, label > 0)
    refused = run(server, BUNDLE, confidence=True)
    assert refused.status == 400 and "uint8" in refused.json["detail"]
