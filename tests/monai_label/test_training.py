"""Training from MONAI Label: on all studies, once, and used by the next inference."""

import time

import pytest
import torch

pytestmark = pytest.mark.monai_label
# What 3D Slicer sends beside the options table: it leaves run_id empty, which makes MONAI resolve the whole file.
SLICER = {"device": "cpu", "pretrained": True, "val_split": 0.2, "multi_gpu": True, "gpus": "all", "run_id": ""}


def weights(server, bundle):
    return torch.load(server.bundle(bundle) / "models" / "model.pt", weights_only=True)


def train(server, bundle, **options):
    """Train in the background, as 3D Slicer does, and return the end of the log."""
    assert server.train(bundle, run_sync=False, **SLICER, **options).status == 200
    end = time.monotonic() + 300
    while (state := server.training().json)["status"] in ("SUBMITTED", "RUNNING") and time.monotonic() < end:
        time.sleep(0.5)
    assert state["status"] == "DONE", server.tail(20)
    told = [line for line in state["details"] if line.startswith("trained for 1 epochs; mean loss of the last one ")]
    assert len(told) == 1 and float(told[0].rpartition(" ")[2]), state["details"]
    return server.log.read_text()


def test_training_takes_all_studies_once_though_none_is_labelled(server, bundle):
    before = weights(server, bundle)
    log = train(server, bundle, max_epochs=1)
    assert log.count("Engine run resuming from iteration 0, epoch 0 until 1 epochs") == 1, server.tail(20)
    assert len(list((server.bundle(bundle) / "cache").glob("*.pt"))) == 6
    after = weights(server, bundle)
    assert before.keys() == after.keys() and any(not torch.equal(before[name], after[name]) for name in before)


def test_the_next_inference_uses_the_new_weights(server, bundle, dataset):
    label_info = [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 4}]
    server.put_label("case_1", dataset / "labelsTr/case_1.nii.gz", label_info)
    assert server.infer(bundle, "case_2", {"label_name": "liver"}).status == 200
    loaded = server.log.read_text().count("Reload model from cache")
    train(server, bundle, max_epochs=1)  # one labelled study: MONAI Label's validation set is empty
    assert server.infer(bundle, "case_2", {"label_name": "liver"}).status == 200
    assert server.log.read_text().count("Reload model from cache") == loaded + 1


def test_training_inside_the_server_leaves_it_usable(server, bundle, dataset):
    answer = server.train(bundle, max_epochs=1, val_split=0)
    assert answer.status == 200, server.tail(20)
    server.put_label("case_1", dataset / "labelsTr/case_1.nii.gz", [{"name": "liver", "idx": 1}])
    assert server.infer(bundle, "case_2", {"label_value": 1}).status == 200
