"""Only the largest connected pieces of each organ are kept, where that is asked for."""

import torch
from monai.data import MetaTensor

from common.transforms.outputs import MergeOrgansd, OrganMasksd

ORGANS = [3, 7]


def probabilities():
    """Organ 3 in pieces of 4, 2 and 1 voxels, organ 7 in pieces of 3 and 1."""
    foreground = torch.zeros(2, 12, 12, 2)
    foreground[0, 0, 0:4, 0] = foreground[0, 3, 0:2, 0] = foreground[0, 6, 6, 1] = 0.9
    foreground[1, 9, 0:3, 0] = foreground[1, 9, 9, 0] = 0.8
    background = 1 - foreground.max(0, keepdim=True).values
    image = MetaTensor(torch.zeros(1, 12, 12, 2), meta={"support_organs": torch.tensor(ORGANS)})
    return {"image": image, "pred": MetaTensor(torch.cat([background, foreground]))}


def counts(label):
    return [int((label == organ).sum()) for organ in ORGANS]


def test_a_label_map():
    expected = {None: [7, 4], 1: [4, 3], 2: [6, 4], 5: [7, 4]}
    for count, voxels in expected.items():
        label = MergeOrgansd("pred", largest_components=count)(probabilities())["pred"]
        assert counts(label) == voxels and label.dtype == torch.int32 and label.shape == (1, 12, 12, 2)


def test_masks_of_each_organ():
    for count, voxels in {None: [7, 4], 1: [4, 3], 2: [6, 4]}.items():
        masks = OrganMasksd("pred", largest_components=count)(probabilities())["pred"]
        assert masks.flatten(1).sum(1).tolist() == voxels and masks.dtype == torch.uint8


def test_pieces_that_touch_at_a_corner_are_one():
    data = probabilities()
    data["pred"][1, 1, 4, 1] = 0.9  # touches the last of the four
    label = MergeOrgansd("pred", largest_components=1)(data)["pred"]
    assert counts(label)[0] == 5


def test_an_organ_that_was_not_found():
    data = probabilities()
    data["pred"][2] = 0
    assert counts(MergeOrgansd("pred", largest_components=1)(data)["pred"]) == [4, 0]
    assert OrganMasksd("pred", largest_components=1)(data)["pred"].flatten(1).sum(1).tolist() == [4, 0]
