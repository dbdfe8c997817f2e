"""The session behind the window, without a window: its answers are the command's, what a stroke leaves is kept."""

import nibabel as nib
import numpy as np
import pytest
import torch

from common.configuration.workflow import bundle_workflow
from common.errors import InputError
from common.tools.viewer.scans import open_label, open_scan, straight_affine, tilt
from common.tools.viewer.session import Drawn, Session
from tests.conftest import forget_scripts
from tests.e2e.tiny import AFFINE, save, scan

TILTED = np.array([[-1.97, 0.2, 0.9, 5.0], [0.1, 1.98, -0.6, -7.0], [-0.3, 0.2, 5.9, 11.0], [0, 0, 0, 1]])


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    forget_scripts(monkeypatch)


@pytest.fixture
def files(tmp_path):
    """Two scans, the second tilted, and the label map of the first."""
    image, label = scan(1)
    paths = {"image": tmp_path / "a.nii.gz", "label": tmp_path / "a_label.nii.gz", "query": tmp_path / "b.nii.gz"}
    for path, values, affine in zip(paths.values(), (image, label, scan(2)[0]), (AFFINE, AFFINE, TILTED), strict=True):
        save(path, values, affine)
    return paths


def drawn(files):
    support = open_scan(files["image"])
    return Drawn(support, support.label_map(open_label(files["label"], support)[0], "drawing"))


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])
@pytest.mark.parametrize("largest", [None, 1])
def test_answers_are_those_of_the_command(bundle, largest, bundle_root, files, tmp_path):
    folder = bundle_root(bundle)
    answer = Session(folder).segment(open_scan(files["query"]), [drawn(files)], largest)
    settings = {"support_image": files["image"], "support_label": files["label"], "image": files["query"]}
    settings = {key: str(value) for key, value in {**settings, "output_dir": tmp_path / "out"}.items()}
    options = {"confidence": True, "largest_components": largest}
    bundle_workflow(folder, ["inference"], "infer", **settings, **options).run()
    for name, found in (("seg", answer.label), ("confidence", answer.confidence)):
        written = nib.load(tmp_path / "out" / f"b_{name}.nii.gz")
        np.testing.assert_array_equal(found.as_tensor()[0].numpy(), np.asanyarray(written.dataobj))
        np.testing.assert_allclose(found.affine.numpy(), written.affine, atol=1e-5)
    assert answer.label.any()


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])
def test_a_stroke_on_the_drawn_slice_encodes_nothing_anew(bundle, bundle_root, files):
    session, query, support = Session(bundle_root(bundle)), open_scan(files["query"]), drawn(files)
    support.label[..., :2] = support.label[..., 3:] = 0
    first = session.segment(query, [support])
    encoded = []
    forward = session.network.encode
    session.network.encode = lambda images: encoded.append(len(images)) or forward(images)
    session.inferer.encode._in_bfloat16 = lambda encoder: session.network.encode
    support.label[:, 40:44, 30:34, 2] = 0  # of the liver
    second = session.segment(query, [support])
    assert encoded == [] and not torch.equal(first.confidence, second.confidence)
    anew = Session(bundle_root(bundle)).segment(query, [support])
    assert torch.equal(second.confidence, anew.confidence) and torch.equal(second.label, anew.label)


def test_what_cannot_be_used_is_told_and_nothing_is_lost(bundle_root, files):
    session, query, support = Session(bundle_root("adnet")), open_scan(files["query"]), drawn(files)
    empty = Drawn(support.scan, support.scan.label_map(np.zeros(support.scan.voxels.shape), "drawing"))
    with pytest.raises(InputError, match="no support"):
        session.segment(query, [])
    with pytest.raises((InputError, RuntimeError)) as error:
        session.segment(query, [empty])
    assert "drawing: the support label map is empty" in str(error.value)

    def cancel(done, number):
        raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        session.segment(query, [support], tell=cancel)
    assert session.segment(query, [support]).label.any()


def test_another_bundle_takes_the_place_of_the_first(bundle_root, files):
    query, support = open_scan(files["query"]), drawn(files)
    networks = [type(Session(bundle_root(name)).network).__module__ for name in ("adnet", "ssl_alpnet", "adnet")]
    assert networks == ["scripts.network"] * 3
    assert Session(bundle_root("ssl_alpnet")).segment(query, [support]).label.any()


def test_a_tilted_scan_is_turned_onto_its_nearest_axes():
    straight = straight_affine(TILTED)
    np.testing.assert_allclose(np.linalg.norm(straight[:3, :3], axis=0), np.linalg.norm(TILTED[:3, :3], axis=0))
    assert tilt(TILTED) > 5 and tilt(straight) == 0
    assert (np.sign(np.diag(straight)[:3]) == [-1, 1, 1]).all()
    np.testing.assert_array_equal(straight_affine(AFFINE), AFFINE)
