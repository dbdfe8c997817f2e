"""Packing: what is written is what was read, once, whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from common.episodes import SliceStore
from common.episodes.pack import pack_volumes
from common.errors import InputError


class Reads(list):
    """A list that counts how often it is read."""

    count = 0

    def __getitem__(self, index):
        self.count += 1
        return super().__getitem__(index)


@pytest.fixture
def labelled(volumes):
    volumes[1]["label"] = torch.zeros_like(volumes[1]["image"])
    volumes[1]["label"][0, 0, 0, 3] = 4
    return volumes


@pytest.mark.parametrize("on_disk", [False, True])
def test_content(labelled, tmp_path, on_disk):
    pack = pack_volumes(labelled, tmp_path if on_disk else None)
    assert isinstance(pack.images, np.memmap) == on_disk
    assert pack.images.dtype == np.float32 and pack.supervoxels.dtype == np.int16
    assert pack.depths == [6, 5, 2] and pack.subjects == ["a", "b", "c"] and pack.labelled == [False, True, False]
    for volume, start in zip(labelled, (0, 6, 11), strict=True):
        for z in range(volume["image"].shape[3]):
            np.testing.assert_array_equal(pack.images[start + z], volume["image"][0, :, :, z])
            np.testing.assert_array_equal(pack.supervoxels[start + z], volume["supervoxels"][0, :, :, z])
    assert pack.labels.tolist() == [[6, 0], [7, 0], [8, 0], [9, 0], [9, 4], [10, 0]]
    rows = [
        [number, int(s), start + z, int((volume["supervoxels"][..., z] == s).sum())]
        for number, (volume, start) in enumerate(zip(labelled, (0, 6, 11), strict=True))
        for s in volume["supervoxels"].unique()[1:]
        for z in range(volume["image"].shape[3])
        if (volume["supervoxels"][..., z] == s).any()
    ]
    assert pack.occurrences.tolist() == rows


def test_key_is_packed_once(volumes, tmp_path):
    dataset = Reads(volumes)
    first = pack_volumes(dataset, tmp_path, "fold 1")
    assert dataset.count == 3
    again = pack_volumes(dataset, tmp_path, "fold 1")
    assert dataset.count == 3
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    pack_volumes(dataset, tmp_path, "fold 2")
    assert dataset.count == 6 and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("key", ["fold 1", None])
@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "pack.json"])
def test_a_damaged_pack_is_made_again_with_a_line(volumes, tmp_path, monkeypatch, caplog, key, name):
    whole = [np.array(part) for part in pack_volumes(volumes, tmp_path, key)]
    (folder,) = tmp_path.iterdir()
    content = bytearray((folder / name).read_bytes())
    content[-7] ^= 1
    (folder / name).write_bytes(content)
    monkeypatch.setattr("common.episodes.pack._verified", set())  # as in the next process
    again = pack_volumes(volumes, tmp_path, key)
    assert f"{folder}: this pack of training slices is damaged" in caplog.text
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert list(tmp_path.iterdir()) == [folder]


def test_without_key_the_content_names_the_pack(volumes, tmp_path):
    pack_volumes(volumes, tmp_path)
    pack_volumes(volumes, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    volumes[2]["image"][0, 0, 0, 0] += 1
    changed = pack_volumes(volumes, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert changed.images[11, 0, 0] == volumes[2]["image"][0, 0, 0, 0]


def test_interrupted_packing_leaves_nothing(volumes, tmp_path):
    broken = [*volumes, {"image": volumes[0]["image"]}]
    with pytest.raises(InputError, match="volume 3: the prepared volume has no 'supervoxels'"):
        pack_volumes(broken, tmp_path, "key")
    assert list(tmp_path.iterdir()) == []
    assert len(pack_volumes(volumes, tmp_path, "key").images) == 13


def test_another_process_comes_first(volumes, tmp_path):
    """Its pack is taken, and the own one disappears."""

    class Late(list):
        def __getitem__(self, index):
            if index == 2:
                pack_volumes(volumes, tmp_path, "key")
            return super().__getitem__(index)

    assert len(pack_volumes(Late(volumes), tmp_path, "key").images) == 13
    assert len(list(tmp_path.iterdir())) == 1


def test_a_pack_cannot_be_changed(volumes, tmp_path):
    store = SliceStore(pack_volumes(volumes, tmp_path, "key"))
    store.images.zero_()
    assert pack_volumes(volumes, tmp_path, "key").images[0].any()


def test_large_supervoxel_numbers_keep_their_order(volumes):
    numbers = volumes[0]["supervoxels"]
    volumes[0]["supervoxels"] = torch.where(numbers > 0, numbers + 2**20, 0)
    pack = pack_volumes(volumes)
    renamed = {1: 1, 2: 2, 5: 3, 7: 4, 0: 0}
    expected = np.vectorize(renamed.get)(numbers[0].permute(2, 0, 1).numpy())
    np.testing.assert_array_equal(pack.supervoxels[:6], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": torch.zeros(1, 16, 21, 4)}, r"^sick: slices of \(16, 21\) pixels, a has \(16, 20\); crop or pad"),
        ({"image": torch.zeros(16, 20, 4)}, r"^sick: image has shape \(16, 20, 4\), \(1, X, Y, Z\) is needed"),
        ({"supervoxels": torch.zeros(1, 16, 20, 9)}, r"^sick: supervoxels has grid \(9, 16, 20\)"),
        ({"supervoxels": torch.full((1, 16, 20, 4), -1)}, r"^sick: supervoxel -1 found"),
        ({"supervoxels": torch.full((1, 16, 20, 4), 0.5)}, r"^sick: supervoxel 0.5 found"),
        ({"label": torch.zeros(1, 16, 20, 5)}, r"^sick: label has grid \(5, 16, 20\)"),
    ],
)
def test_bad_volume_is_named(volumes, make_volume, change, message):
    sick = {**make_volume([(1, [0, 1], 30)], depth=4, subject="sick"), **change}
    with pytest.raises(InputError, match=message):
        pack_volumes([*volumes, sick])


def test_empty_dataset():
    with pytest.raises(InputError, match="dataset is empty"):
        pack_volumes([])


def test_store_gathers_and_fills_first(volumes):
    class Cache(list):
        filled = False

        def fill(self):
            self.filled = True

        def __getitem__(self, index):
            assert self.filled
            return super().__getitem__(index)

    store = SliceStore.build(Cache(volumes))
    images, supervoxels = store.gather(np.array([12, 0, 12]))
    assert store.size == (16, 20) and images.shape == supervoxels.shape == (3, 1, 16, 20)
    assert torch.equal(images[0, 0], volumes[2]["image"][0, :, :, 1]) and torch.equal(images[0], images[2])
    assert torch.equal(supervoxels[1, 0].int(), volumes[0]["supervoxels"][0, :, :, 0])
