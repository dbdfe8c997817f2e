"""The support in the query's meta, and merging organs."""

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch

from common.errors import InputError
from common.transforms import LoadSupportd, MergeOrgansd, OrganMasksd


class Fake:
    """Stand-in for the preprocessing: turns names into volumes."""

    def __init__(self, labels):
        self.labels = labels

    def support_steps(self, slices):
        return [self]

    def __call__(self, data):
        label = self.labels[data["label"]]
        image = torch.full_like(label, float(len(data["image"])))
        return {"image": MetaTensor(image), "label": MetaTensor(label, meta={"filename_or_obj": data["label"]})}


def drawn(*values, depth=4):
    label = torch.zeros(1, 3, 3, depth)
    for index, value in enumerate(values):
        label[0, index, index, index % depth] = value
    return label


LABELS = {"two": drawn(2, 5), "one": drawn(7, depth=2), "none": drawn()}


def load(images, labels, **options):
    query = {"image": MetaTensor(torch.zeros(1, 3, 3, 5))}
    return LoadSupportd("image", Fake(LABELS), images, labels, **options)(query)


def test_support_keeps_its_label_values_and_own_depth():
    meta = load(["a", "bb"], ["two", "one"])["image"].meta
    assert meta["support_organs"].tolist() == [2, 5, 7]
    assert [volume.shape[-1] for volume in meta["support_image"]] == [4, 2]
    assert load(["a"], ["two"], organs=[5])["image"].meta["support_organs"].tolist() == [5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "0 support scans"),
        ((["a"], ["two", "one"]), "1 support scans and 2 support label maps"),
        ((["a"], ["none"]), "none: the support label map is empty"),
    ],
)
def test_unusable_supports_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        load(*arguments)


def test_a_support_is_prepared_once_until_its_files_change(tmp_path):
    prepared = []

    class Counted(Fake):
        def __call__(self, data):
            prepared.append(data["label"])
            return super().__call__(data)

    for name in ("scan", "one", "two"):
        (tmp_path / name).write_text(name)
    scan, one, two = (str(tmp_path / name) for name in ("scan", "one", "two"))
    transform = LoadSupportd("image", Counted({one: drawn(7), two: drawn(2, 5)}), [scan], [one])
    metas = [transform({"image": MetaTensor(torch.zeros(1, 3, 3, 5))})["image"].meta for _ in range(3)]
    assert prepared == [one] and [meta["support_organs"].tolist() for meta in metas] == [[7]] * 3
    transform.support_label = [two]
    assert transform({"image": MetaTensor(torch.zeros(1, 3, 3, 5))})["image"].meta["support_organs"].tolist() == [2, 5]
    (tmp_path / "two").write_text("drawn anew")
    transform({"image": MetaTensor(torch.zeros(1, 3, 3, 5))})
    assert prepared == [one, two, two]


def test_slices_without_a_drawing_are_left_out_where_slices_are_compared():
    meta = load(["a", "bb"], ["two", "one"], slices=True)["image"].meta
    assert [volume.shape[-1] for volume in meta["support_image"]] == [2, 1]
    assert [volume.shape[-1] for volume in meta["support_label"]] == [2, 1]
    assert meta["support_organs"].tolist() == [2, 5, 7]


def test_an_organ_outside_of_the_grid_is_named(caplog):
    class Cropping(Fake):
        def __call__(self, data):
            item = super().__call__(data)
            item["label"].meta["lost_organs"] = [9]
            return item

    query = {"image": MetaTensor(torch.zeros(1, 3, 3, 5))}
    LoadSupportd("image", Cropping(LABELS), ["a"], ["two"])(query)
    assert "two: organs [9] lie outside" in caplog.text


def test_absent_organ_is_refused_by_value():
    with pytest.raises(InputError, match=r"label values \[3\] are not there; it holds \[2, 5\]"):
        load(["a"], ["two"], organs=[2, 3])


def test_support_survives_collation_and_decollation():
    item = load(["a", "bb"], ["two", "one"])
    batch = next(iter(DataLoader(Dataset([item]), batch_size=1)))
    volumes = [volume.reshape(volume.shape[-3:]) for volume in batch["image"].meta["support_image"]]
    assert [volume.shape[-1] for volume in volumes] == [4, 2]
    again = decollate_batch(batch)[0]["image"].meta
    assert torch.as_tensor(again["support_organs"]).flatten().tolist() == [2, 5, 7]


def probabilities(*organs):
    foreground = torch.tensor(organs, dtype=torch.float32).reshape(len(organs), -1, 1, 1)
    background = 1 - foreground.amax(0, keepdim=True)
    meta = {"support_organs": torch.tensor([2, 5], dtype=torch.int16)}
    return {"pred": MetaTensor(torch.cat([background, foreground])), "image": MetaTensor(foreground[:1], meta=meta)}


def test_organs_are_merged_by_the_largest_probability_above_one_half():
    data = probabilities([0.9, 0.6, 0.5, 0.2, 0.7], [0.1, 0.7, 0.5, 0.4, 0.7])
    merged = MergeOrgansd("pred")(data)
    assert merged["pred"].flatten().tolist() == [2, 5, 0, 0, 2]
    torch.testing.assert_close(merged["confidence"].flatten().as_tensor(), torch.tensor([0.9, 0.7, 0.5, 0.4, 0.7]))
    assert data["pred"].argmax(0).flatten().tolist() == [1, 2, 0, 0, 1]


def test_padding_with_zeros_is_background():
    data = probabilities([0.0], [0.0])
    data["pred"][0] = 0
    assert MergeOrgansd("pred")(data)["pred"].flatten().tolist() == [0]


def test_masks_score_each_organ_on_its_own():
    data = probabilities([0.9, 0.6, 0.5], [0.1, 0.7, 0.8])
    data["label"] = MetaTensor(torch.tensor([2.0, 5.0, 9.0]).reshape(1, 3, 1, 1))
    masks = OrganMasksd(["pred", "label"])(data)
    assert masks["pred"].flatten(1).tolist() == [[1, 1, 0], [0, 1, 1]]
    assert masks["label"].flatten(1).tolist() == [[1, 0, 0], [0, 1, 0]]
