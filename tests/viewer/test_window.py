"""The plugin in a real napari window, driven as a person would."""

import sys

import nibabel as nib
import numpy as np
import pytest

from tests.e2e.tiny import AFFINE, save, scan
from tests.viewer.test_session import TILTED

pytestmark = pytest.mark.napari


@pytest.fixture
def scans(tmp_path):
    """A straight and a tilted scan."""
    return [save(tmp_path / "a.nii.gz", scan(1)[0]), save(tmp_path / "b.nii.gz", scan(2)[0], TILTED)]


def paint_organ(hand, mask, slice_number=2):
    from tests.viewer.hand import across

    hand.press(hand.widget.drawn.draw)
    drawing = hand.widget.drawn.drawing.value
    assert drawing.mode == "paint"
    hand.paint(drawing, across(mask, slice_number))
    return drawing


def test_a_painted_organ_is_segmented_as_the_command_does(window, scans, tmp_path, run_python):
    hand = window(*scans)
    assert hand.viewer.dims.axis_labels == ("R", "A", "S")
    hand.widget.drawn.name.value = "liver"
    drawing = paint_organ(hand, scan(1)[1] == 1)
    painted = np.asarray(drawing.data)
    assert painted[..., 2].sum() > 20 and painted.sum() == painted[..., 2].sum()
    hand.press(hand.widget.drawn.add)
    assert [name for name, _ in hand.widget.drawn._support_choices()] == ["a: liver"]
    hand.segment()
    hand.widget.answers.write(tmp_path / "answer.nii.gz")
    hand.layer("a drawing")
    hand.widget.answers.write(tmp_path / "drawn.nii.gz")
    command = ["-m", "common.tools.cli", "segment", "--support-image", scans[0], "--image", scans[1], "--confidence"]
    run_python(*command, "--support-label", tmp_path / "drawn.nii.gz", "--output-dir", tmp_path / "out")
    found, written = (nib.load(tmp_path / name) for name in ("answer.nii.gz", "out/b_seg.nii.gz"))
    assert np.asanyarray(found.dataobj).any()
    np.testing.assert_array_equal(np.asanyarray(found.dataobj), np.asanyarray(written.dataobj))
    np.testing.assert_array_equal(found.affine, written.affine)
    confidence = nib.load(tmp_path / "out/b_confidence.nii.gz")
    np.testing.assert_array_equal(hand.layer("b confidence").data, np.asanyarray(confidence.dataobj))


def test_a_tilted_scan_is_painted_where_it_is_shown(window, scans):
    hand = window(scans[1])
    drawing = paint_organ(hand, scan(2)[1] == 1, slice_number=4)
    painted = np.asarray(drawing.data)
    assert painted[..., 4].sum() > 20 and painted.sum() == painted[..., 4].sum()


def test_mistakes_are_messages_and_nothing_is_lost(window, scans, messages, tmp_path):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no scan")
    hand = window(scans[0], broken)
    assert any("broken.nii.gz" in line for line in messages()) and len(hand.viewer.layers) == 1
    hand.press(hand.widget.answers.segment)
    assert "a: no drawing; press Draw on this scan" in messages()[-1]
    hand.press(hand.widget.drawn.draw)
    hand.press(hand.widget.drawn.add)
    assert "a drawing: nothing is drawn; paint the organ" in messages()[-1]
    other = hand.viewer.add_labels(np.ones((8, 8, 3), int), name="other")
    hand.widget.drawn.drawing.value = other
    hand.press(hand.widget.answers.segment)
    assert "other: its shape (8, 8, 3) is not that of a, (64, 60, 6)" in messages()[-1]
    hand.widget.drawn.drawing.value = hand.viewer.layers["a drawing"]
    hand.layer("a drawing").data[20:40, 20:40, 2] = 1
    hand.press(hand.widget.drawn.add)
    hand.press(hand.widget.answers.segment)
    assert "no scan to segment" in messages()[-1]
    hand.widget.drawn.open([scans[1]])
    hand.widget.model.weights.value = str(tmp_path / "nowhere.pt")
    hand.segment()
    assert "nowhere.pt" in messages()[-1]
    assert hand.viewer.layers["a drawing"].data.sum() == 400
    assert not any("Traceback" in line for line in messages())


def test_a_cancelled_run_leaves_everything(window, scans, messages):
    hand = window(*scans)
    drawing = paint_organ(hand, scan(1)[1] == 1)
    before = drawing.data.copy()
    hand.press(hand.widget.answers.segment)
    hand.press(hand.widget.answers.cancel)
    hand.wait(lambda: not hand.widget.answers.busy)
    assert "cancelled" in hand.widget.answers.said.value
    assert "b answer" not in hand.viewer.layers and np.array_equal(drawing.data, before)
    hand.segment()
    assert "b answer" in hand.viewer.layers and hand.widget.answers.said.value.startswith("done")


def test_a_corrected_answer_is_kept_and_becomes_a_support(window, scans, tmp_path):
    hand = window(*scans)
    paint_organ(hand, scan(1)[1] == 1)
    hand.segment()
    hand.segment()
    names = [layer.name for layer in hand.viewer.layers]
    assert names.count("b answer") == 1
    hand.layer("b answer").data[:10, :10, 3] = 1
    corrected = hand.viewer.layers["b answer"].data.copy()
    hand.segment()
    assert np.array_equal(hand.viewer.layers["b answer"].data, corrected)
    assert "b answer [1]" in hand.viewer.layers
    hand.layer("b answer")
    hand.press(hand.widget.answers.use)
    supports = hand.widget.drawn.supports()
    assert [one.scan.name for one in supports] == ["a", "b"]
    assert np.array_equal(supports[1].label[0].numpy(), corrected)


def test_a_list_of_scans_and_label_maps_of_files(window, scans, tmp_path):
    third = save(tmp_path / "c.nii.gz", scan(3)[0])
    label = save(tmp_path / "a_label.nii.gz", scan(1)[1])
    (tmp_path / "dataset.json").write_text('{"labels": {"0": "background", "1": "liver", "4": "spleen"}}')
    hand = window(*scans, third)
    hand.widget.drawn.scan.value = hand.viewer.layers["a"]
    hand.widget.drawn.add_label(label)
    hand.press(hand.widget.drawn.add)
    assert hand.widget.drawn.names == {1: "liver", 4: "spleen"}
    hand.segment()
    assert {"b answer", "c answer", "b confidence", "c confidence"} <= {layer.name for layer in hand.viewer.layers}
    assert "a answer" not in hand.viewer.layers
    assert set(np.unique(hand.viewer.layers["c answer"].data)) <= {0, 1, 4}
    np.testing.assert_array_equal(AFFINE, nib.load(third).affine)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None lives for ever")
def test_scrolling_does_not_give_none_away(window, scans):
    """A Qt binding that returns None without owning it ends a long session with a crash."""
    hand = window(scans[0])
    before = sys.getrefcount(None)
    for step in range(300):
        hand.viewer.dims.set_current_step(2, step % 6)
        hand.settle(0.005)
    assert sys.getrefcount(None) > before - 1000
