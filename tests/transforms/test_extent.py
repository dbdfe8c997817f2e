"""On which query slices the organs lie, from labels and from a person's numbers."""

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from common.data.monai_label.support import SLICES
from common.errors import InputError
from common.inferers.support import PROTOCOL
from common.transforms import QueryExtentd


def prepared(codes="RAS", shape=(10, 12, 14), spacing=(1.0, 1.0, 1.0), target=(1.0, 1.0, 4.0)):
    """A scan stored with axes ``codes``, brought to axial slices as preprocessing does."""
    stored = MetaTensor(torch.zeros(1, *shape), torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64)))
    stored = Orientation(codes, labels=None)(stored)
    stored.meta["original_affine"] = stored.affine.clone()
    stored.meta["spatial_shape"] = list(stored.shape[1:])
    stored.meta["filename_or_obj"] = "scan.nii.gz"
    image = Spacing(target)(Orientation("RAS", labels=None)(stored))
    image.meta["support_organs"] = torch.tensor([2, 5])
    return {"image": image}


def slices(item, first, last):
    extent = QueryExtentd("image", query_slices=(first, last))(item)["image"].meta["query_extent"]
    assert extent.shape == (2, item["image"].shape[-1])
    assert torch.equal(extent[0], extent[1])
    return extent[0].nonzero().flatten().tolist()


def test_extent_from_the_label_is_per_organ():
    item = prepared(shape=(3, 3, 20))
    label = torch.zeros(1, 3, 3, item["image"].shape[-1])
    label[0, 0, 0, 0] = 2
    label[0, 0, 0, 1:3] = 5
    item["label"] = MetaTensor(label)
    extent = QueryExtentd("image")(item)["image"].meta["query_extent"]
    assert [row.nonzero().flatten().tolist() for row in extent] == [[0], [1, 2]]


def test_stored_slices_map_to_the_coarser_grid():
    assert slices(prepared(shape=(3, 3, 21)), 8, 16) == [2, 3, 4]


def test_slices_of_a_request_ask_for_ep1():
    meta = QueryExtentd("image")({**prepared(), SLICES: [2, 5]})["image"].meta
    assert meta[PROTOCOL] == "ep1"
    own = QueryExtentd("image", query_slices=(2, 5))(prepared())["image"].meta
    assert torch.equal(meta["query_extent"], own["query_extent"]) and PROTOCOL not in own


def test_a_stored_slice_belongs_to_the_nearest_one():
    """Slice centres every 4 mm: 9 mm is nearest to the third at 8, 11 mm to the fourth at 12."""
    item = prepared(shape=(3, 3, 21))
    assert [slices(item, number, number) for number in (5, 7, 9, 11)] == [[1], [2], [2], [3]]


def test_slices_stored_downwards_count_from_the_top():
    item = prepared("RAI", shape=(3, 3, 21))
    assert slices(item, 0, 4) == [4, 5]
    assert slices(item, 16, 20) == [0, 1]


@pytest.mark.parametrize(
    ("codes", "axis", "direction"),
    [("ASR", "second", "inferior to superior"), ("IPR", "first", "superior to inferior")],
)
def test_the_cut_axis_is_counted_whatever_its_place(caplog, codes, axis, direction):
    item = prepared(codes, shape=(10, 12, 21))
    first, last = (8, 16) if codes == "ASR" else (4, 12)
    assert slices(item, first, last) == [2, 3, 4]
    assert f"counted along the {axis} stored axis, {direction}" in caplog.text


def test_the_third_axis_needs_no_words(caplog):
    slices(prepared(), 2, 6)
    assert caplog.text == ""


def test_the_finest_axis_is_cut_where_the_model_cuts_it():
    """Sagittal slices of 3 mm, axial ones are cut."""
    item = prepared("PSR", shape=(60, 50, 40), spacing=(3.0, 1.0, 1.0))
    assert len(slices(item, 0, 39)) == item["image"].shape[-1]


@pytest.mark.parametrize("asked", [(3, 14), (-1, 5)])
def test_slices_that_are_not_there(asked):
    with pytest.raises(
        InputError, match=f"query_slices {asked[0]} to {asked[1]} asked, slices are 0 to 13, counted along"
    ):
        QueryExtentd("image", query_slices=asked)(prepared())
