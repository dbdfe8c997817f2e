"""Two bundles in one server, each with its own version of the vendored code."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

pytestmark = pytest.mark.monai_label
# What the later version does otherwise, first in preprocessing, then in postprocessing.
CHANGES = {
    "errors.py": "InputError.status_code = 422\n",
    "transforms/outputs.py": (
        "_merge = MergeOrgansd.__call__\n"
        "MergeOrgansd.__call__ = lambda self, data: {**_merge(self, data), 'pred': 2 * _merge(self, data)['pred']}\n"
    ),
}


@pytest.fixture(scope="module")
def server(serve, packaged, dataset, tmp_path_factory):
    first = packaged("adnet")
    second = shutil.copytree(first, tmp_path_factory.mktemp("later") / "adnet_later")
    for name, change in CHANGES.items():
        with (second / "scripts" / "common" / name).open("a") as file:
            file.write(f"\n\n{change}")
    metadata = json.loads((second / "configs/metadata.json").read_text())
    (second / "configs/metadata.json").write_text(json.dumps({**metadata, "version": "99.0.0"}))
    return serve([first, second], dataset / "imagesTr")


def test_each_bundle_runs_its_own_version(server, dataset):
    models = server.info()["models"]
    assert models["adnet"]["version"] != models["adnet_later"]["version"] == "99.0.0"
    order = ["adnet", "adnet_later", "adnet_later", "adnet", "adnet_later"]
    assert [server.infer(name, "case_2").status for name in order] == [400, 422, 422, 400, 422]
    server.put_label("case_1", dataset / "labelsTr/case_1.nii.gz", [{"name": "liver", "idx": 1}])
    answers = [server.infer(name, "case_2", {"label_value": 1}) for name in order]
    masks = [np.asarray(nib.load(answer.label).dataobj) for answer in answers]
    assert [int(mask.max()) for mask in masks] == [1, 2, 2, 1, 2]
    assert all(np.array_equal(mask > 0, masks[0] > 0) for mask in masks)
