"""What an annotator does with each bundle: draw an organ in one study, submit it, have it found in the next one."""

import nibabel as nib
import numpy as np
import pytest

from tests.e2e.tiny import FLOORS, save

pytestmark = pytest.mark.monai_label
LABELS = [{"name": "Liver", "idx": 1}, {"name": "Spleen", "idx": 4}]  # as 3D Slicer sends them
# Dice of the liver in case_2 that the weights of 80 episodes reach with case_1 as support.


def truth(dataset, case):
    return dataset / f"labelsTr/{case}.nii.gz"


def dice(answer, label_map, value):
    found, drawn = np.asarray(nib.load(answer.label).dataobj) > 0, np.asarray(nib.load(label_map).dataobj) == value
    return 2 * (found & drawn).sum() / (found.sum() + drawn.sum())


def test_the_server_offers_model_and_training(server, bundle):
    info = server.info()
    assert info["models"][bundle]["labels"] == {"foreground": 1}
    assert {"support", "label_name"} <= set(info["models"][bundle]["config"])
    assert bundle in info["trainers"]


def test_without_a_submitted_label_it_says_what_to_do(server, bundle):
    answer = server.infer(bundle, "case_2")
    assert answer.status == 400
    assert "submit" in answer.json["detail"] and "\n" not in answer.json["detail"]


def test_the_newest_label_is_the_support_for_the_next_study(server, bundle, dataset):
    assert server.put_label("case_1", truth(dataset, "case_1"), LABELS).status == 200
    answer = server.infer(bundle, "case_2", {"label_name": "liver"})
    assert answer.status == 200, answer.json
    assert (answer.json["organs"], answer.json["support"]) == ({"liver": 1}, ["case_1"])
    scan, label = nib.load(dataset / "imagesTr/case_2.nii.gz"), nib.load(answer.label)
    assert label.shape == scan.shape and np.allclose(label.affine, scan.affine, atol=1e-4)
    assert set(np.unique(label.dataobj)) == {0, 1}
    assert dice(answer, truth(dataset, "case_2"), 1) > FLOORS[bundle]


def test_every_organ_is_segmented_where_none_is_named(server, bundle, dataset):
    server.put_label("case_1", truth(dataset, "case_1"), LABELS)
    answer = server.infer(bundle, "case_2")
    assert answer.status == 200, answer.json
    assert answer.json["organs"] == answer.json["label_names"] == {"liver": 1, "spleen": 2}
    assert set(np.unique(nib.load(answer.label).dataobj)) <= {0, 1, 2}


def test_each_study_says_itself_which_value_an_organ_has(server, bundle, dataset, tmp_path):
    label = nib.load(truth(dataset, "case_3"))
    swapped = save(tmp_path / "swapped.nii.gz", np.where(label.dataobj, 5 - np.asarray(label.dataobj), 0), label.affine)
    names = [{"name": "spleen", "idx": 1}, {"name": "liver", "idx": 4}]
    server.put_label("case_1", truth(dataset, "case_1"), LABELS)
    server.put_label("case_3", tmp_path / swapped, names)
    both = server.infer(bundle, "case_2", {"label_name": "liver", "support": "case_1,case_3"})
    assert both.json["support"] == ["case_1", "case_3"]
    assert dice(both, truth(dataset, "case_2"), 1) > FLOORS[bundle]


def test_a_mask_sent_with_the_request_is_the_support_and_is_not_kept(server, bundle, dataset):
    before = server.datastore()
    request = {"support": "case_4", "label_value": 1}
    answer = server.infer(bundle, "case_2", request, label=truth(dataset, "case_4"))
    assert answer.status == 200, answer.json
    assert answer.json["support"] == ["case_4"]
    assert dice(answer, truth(dataset, "case_2"), 1) > FLOORS[bundle]
    assert server.datastore() == before


def test_one_drawn_slice_is_enough_also_for_the_rest_of_the_same_study(server, bundle, dataset, tmp_path):
    label = nib.load(truth(dataset, "case_5"))
    drawn = np.zeros(label.shape, np.int16)
    drawn[..., 3] = np.asarray(label.dataobj)[..., 3] == 1
    save(tmp_path / "slice.nii.gz", drawn, label.affine)
    server.put_label("case_5", tmp_path / "slice.nii.gz", [{"name": "liver", "idx": 1}])
    answer = server.infer(bundle, "case_5", {"support": "case_5"})
    assert answer.status == 200, answer.json
    assert (answer.json["organs"], answer.json["support"]) == ({"liver": 1}, ["case_5"])
    assert np.asarray(nib.load(answer.label).dataobj).any((0, 1)).sum() > 1


def test_a_scan_sent_with_the_request_is_segmented(server, bundle, dataset):
    server.put_label("case_1", truth(dataset, "case_1"), LABELS)
    options = {"support": "case_1", "label_name": "spleen"}
    sent = server.infer(bundle, "", options, file=dataset / "imagesTr/case_6.nii.gz")
    stored = server.infer(bundle, "case_6", options)
    assert sent.status == stored.status == 200, (sent.json, stored.json)
    assert np.array_equal(nib.load(sent.label).dataobj, nib.load(stored.label).dataobj)


def test_batch_inference_segments_the_studies_without_a_label(server, bundle, dataset):
    server.put_label("case_1", truth(dataset, "case_1"), LABELS)
    options = {"support": "case_1", "label_name": "liver", "device": "cpu", "multi_gpu": False}
    unlabelled = {name for name, study in server.datastore()["objects"].items() if "final" not in study["labels"]}
    answer = server.batch_infer(bundle, "unlabeled", **options)
    assert answer.status == 200 and set(answer.json) == unlabelled and "case_2" in unlabelled
    assert dice(server.get_label("case_2", "original"), truth(dataset, "case_2"), 1) > FLOORS[bundle]
