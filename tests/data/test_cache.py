from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import ClassVar

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CopyItemsd,
    EnsureTyped,
    GaussianSmoothd,
    Lambdad,
    LoadImaged,
    MapTransform,
    NormalizeIntensityd,
    RandFlipd,
    ScaleIntensityd,
    Spacingd,
)

from common.data import VolumeCache, intensity_statistics


class Counted(MapTransform):
    """Adds a number, counts its calls and fails from call ``fail_at`` on."""

    calls: ClassVar[list[str]] = []
    fail_at: ClassVar[int | None] = None
    algorithm_version = 1

    def __init__(self, keys, number=1.0):
        super().__init__(keys)
        self.number = number

    def __call__(self, data):
        if self.fail_at is not None and len(self.calls) >= self.fail_at:
            raise KeyError("interrupted")
        self.calls.append(data["subject"])
        return {**data, **{key: data[key] + self.number for key in self.key_iterator(data)}}


@pytest.fixture(autouse=True)
def reset_counter(monkeypatch):
    monkeypatch.setattr(Counted, "calls", [])
    monkeypatch.setattr(Counted, "fail_at", None)


@pytest.fixture
def scans(tmp_path) -> list[dict[str, str]]:
    generator = np.random.default_rng(0)
    items = []
    for subject in ("a", "b", "c"):
        item = {"subject": subject}
        for key, high in (("image", 1000), ("label", 3)):
            path = tmp_path / "scans" / f"{subject}_{key}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            array = generator.integers(0, high, (12, 10, 4)).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(array, np.diag([2.0, 2, 8, 1])), path)
            item[key] = str(path)
        items.append(item)
    return items


def prepare(number: float = 1.0):
    return [LoadImaged(keys=["image", "label"], ensure_channel_first=True), Counted(keys="image", number=number)]


def cached(scans, tmp_path, transforms=None, **options) -> VolumeCache:
    return VolumeCache(
        scans, transforms or prepare(), tmp_path / "cache", progress=False, **{"num_workers": 1, **options}
    )


def test_items_are_plain_and_the_same_at_every_read(scans, tmp_path):
    dataset = cached(scans, tmp_path)
    computed, stored = dataset[0], cached(scans, tmp_path)[0]
    assert Counted.calls == ["a"]
    for item in (computed, stored):
        assert set(item) == {"image", "label", "affine", "subject", "filename"}
        assert type(item["image"]) is torch.Tensor and not isinstance(item["image"], MetaTensor)
        assert item["image"].dtype == torch.float32
        assert item["image"].shape == (1, 12, 10, 4)
        assert item["subject"] == "a"
        assert item["filename"] == scans[0]["image"]
        torch.testing.assert_close(item["affine"], torch.diag(torch.tensor([2.0, 2, 8, 1], dtype=torch.float64)))
    expected = np.asarray(nibabel.load(scans[0]["image"]).dataobj) + 1
    np.testing.assert_array_equal(stored["image"][0].numpy(), expected)


def test_fill_computes_only_what_is_missing(scans, tmp_path):
    dataset = cached(scans, tmp_path)
    _ = dataset[1]
    dataset.fill()
    assert Counted.calls == ["b", "a", "c"]
    cached(scans, tmp_path).fill()
    assert len(Counted.calls) == 3
    assert len(os.listdir(tmp_path / "cache")) == 3


def test_changed_parameter_recomputes(scans, tmp_path):
    first = cached(scans, tmp_path)[0]["image"]
    second = cached(scans, tmp_path, prepare(number=5.0))[0]["image"]
    torch.testing.assert_close(second - first, torch.full_like(first, 4.0))
    assert Counted.calls == ["a", "a"]


def test_changed_algorithm_version_recomputes(scans, tmp_path, monkeypatch):
    _ = cached(scans, tmp_path)[0]
    monkeypatch.setattr(Counted, "algorithm_version", 2)
    _ = cached(scans, tmp_path)[0]
    assert Counted.calls == ["a", "a"]


def test_changed_lazy_resampling_recomputes(scans, tmp_path):
    keys = [cached(scans, tmp_path, Compose(prepare(), lazy=lazy)).path(0) for lazy in (False, True)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize("key", ["image", "label"])
def test_changed_file_recomputes(scans, tmp_path, key):
    cached(scans, tmp_path).fill()
    path = Path(scans[1][key])
    loaded = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(loaded.dataobj)[::-1], loaded.affine), path)
    cached(scans, tmp_path).fill()
    assert Counted.calls == ["a", "b", "c", "b"]


def test_moved_files_are_found_again(scans, tmp_path):
    cached(scans, tmp_path).fill()
    (tmp_path / "scans").rename(tmp_path / "moved")
    moved = [{key: value.replace("/scans/", "/moved/") for key, value in item.items()} for item in scans]
    dataset = cached(moved, tmp_path)
    dataset.fill()
    assert len(Counted.calls) == 3
    assert dataset[2]["filename"] == moved[2]["image"]


def test_subject_named_like_a_folder_is_a_name(scans, tmp_path, monkeypatch):
    key = cached(scans, tmp_path).path(0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    assert cached(scans, tmp_path).path(0) == key


def test_folder_of_slices_is_hashed_by_content(tmp_path):
    series = tmp_path / "series"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"one")
    first = cached([{"image": str(series)}], tmp_path).path(0)
    assert cached([{"image": str(series)}], tmp_path).path(0) == first
    (series / "2.dcm").write_bytes(b"two")
    assert cached([{"image": str(series)}], tmp_path).path(0) != first


def test_key_is_taken_before_use_and_survives_it(scans, tmp_path):
    dataset = cached(scans, tmp_path, [LoadImaged(keys="image"), Spacingd(keys="image", pixdim=(2, 2, 8))])
    before = dataset.path(1)
    _ = dataset[0]
    dataset.set_data(scans)
    assert dataset.path(1) == before
    assert dataset.path(0).is_file()


def test_equal_parameters_give_equal_keys_however_they_were_made(scans, tmp_path):
    shared = "image"
    separate = "".join(["im", "age"])
    once = cached(scans, tmp_path, [EnsureTyped(keys=[shared, shared])]).path(0)
    twice = cached(scans, tmp_path, [EnsureTyped(keys=[shared, separate])]).path(0)
    assert once == twice


def test_interrupted_run_resumes(scans, tmp_path, monkeypatch):
    monkeypatch.setattr(Counted, "fail_at", 2)
    with pytest.raises(RuntimeError, match=r"c_image\.nii\.gz could not be prepared: KeyError: 'interrupted'") as info:
        cached(scans, tmp_path).fill()
    assert "\n" not in str(info.value)
    assert len(os.listdir(tmp_path / "cache")) == 2
    monkeypatch.setattr(Counted, "fail_at", None)
    cached(scans, tmp_path).fill()
    assert Counted.calls == ["a", "b", "c"]


def test_parallel_gives_the_same_bits(scans, tmp_path):
    transforms = [
        LoadImaged(keys=["image", "label"], ensure_channel_first=True),
        Spacingd(keys=["image", "label"], pixdim=(1.3, 1.3, 5), mode=("bilinear", "nearest")),
        GaussianSmoothd(keys="image", sigma=1.5),
        NormalizeIntensityd(keys="image"),
    ]
    serial = VolumeCache(scans, transforms, tmp_path / "serial", num_workers=1, progress=False)
    parallel = VolumeCache(scans, transforms, tmp_path / "parallel", num_workers=2, progress=False)
    serial.fill()
    parallel.fill()
    assert sorted(os.listdir(tmp_path / "parallel")) == sorted(os.listdir(tmp_path / "serial"))
    for one, other in zip(serial, parallel, strict=True):
        for key in ("image", "label", "affine"):
            assert torch.equal(one[key], other[key]), key


def test_error_in_a_worker_names_the_file(scans, tmp_path):
    Path(scans[1]["image"]).write_bytes(b"no scan")
    dataset = cached(scans, tmp_path, [LoadImaged(keys="image", reader="NibabelReader")], num_workers=2)
    with pytest.raises(RuntimeError, match=r"b_image\.nii\.gz could not be prepared") as info:
        dataset.fill()
    assert "\n" not in str(info.value)
    assert not [name for name in os.listdir(tmp_path / "cache") if name.endswith(".partial")]


@pytest.mark.parametrize("failing", ["write_bytes", "replace"])
def test_full_disk_leaves_nothing_half_written(scans, tmp_path, monkeypatch, failing):
    def full(path, *arguments):
        if failing == "write_bytes":
            with open(path, "wb") as stream:
                stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    dataset = cached(scans, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "write_bytes", full) if failing == "write_bytes" else (os, "replace", full)))
        with pytest.raises(OSError, match=r"no space left in .*cache: 3 volumes need about \d+ MB") as info:
            dataset.fill()
    assert info.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path / "cache") == []
    dataset.fill()
    assert len(os.listdir(tmp_path / "cache")) == 3


def test_a_real_full_disk_keeps_the_volumes_before(scans, small_disk):
    disk = small_disk("16k")  # room for two
    dataset = VolumeCache(scans, prepare(), disk, num_workers=1, progress=False)
    (disk / "filler").write_bytes(bytes(4096))
    with pytest.raises(OSError, match=r"no space left in .*: \d volumes? need about \d+ MB") as info:
        dataset.fill()
    assert info.value.errno == errno.ENOSPC
    kept = {path.name for path in disk.iterdir() if path.name != "filler"}
    assert kept < {dataset.path(index).name for index in range(3)}
    (disk / "filler").unlink()
    assert torch.equal(dataset[0]["image"], VolumeCache(scans, prepare(), disk.parent / "other")[0]["image"])


def test_ranks_share_the_work_and_meet(scans, tmp_path, monkeypatch):
    met = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "barrier", lambda: met.append(list(Counted.calls)))
    cached(scans, tmp_path).fill()
    assert met == [["a", "c"]]
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    cached(scans, tmp_path).fill()
    assert met[1:] == [["a", "c", "b"]]


@pytest.mark.parametrize("damage", ["cut", "other", "empty", "flipped"])
def test_damaged_file_is_made_again_with_a_line(scans, tmp_path, caplog, damage):
    dataset = cached(scans, tmp_path)
    path, image = dataset.path(0), dataset[0]["image"]
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(image.numpy().tobytes()) + 5] ^= 4
    path.write_bytes({"cut": whole[:-100], "other": b"rubbish", "empty": b"", "flipped": bytes(flipped)}[damage])
    again = cached(scans, tmp_path)
    assert torch.equal(again[0]["image"], image)
    assert f"{path}: this prepared volume is damaged; it is made again" in caplog.text
    assert path.read_bytes() == whole
    assert Counted.calls == ["a", "a"]


def test_only_deterministic_picklable_transforms(scans, tmp_path):
    with pytest.raises(ValueError, match="deterministic MONAI transforms, got RandFlipd"):
        cached(scans, tmp_path, [LoadImaged(keys="image"), RandFlipd(keys="image")])
    with pytest.raises(ValueError, match="deterministic MONAI transforms, got function"):
        cached(scans, tmp_path, [LoadImaged(keys="image"), lambda item: item])
    with pytest.raises(ValueError, match="Lambdad cannot be pickled"):
        cached(scans, tmp_path, [Lambdad(keys="image", func=lambda image: image)])


def test_items_must_be_storable(scans, tmp_path):
    with pytest.raises(RuntimeError, match=r"'image' is a list: return tensors, arrays, numbers or strings"):
        cached([{"image": ["x"], "subject": "a"}], tmp_path, [CopyItemsd(keys="image", names="copy")]).fill()


def test_cache_dir_must_be_a_folder(scans, tmp_path):
    with pytest.raises(ValueError, match=r"a_image\.nii\.gz is a file: set it to a folder"):
        VolumeCache(scans, prepare(), scans[0]["image"])


def test_changing_the_data_keeps_the_files(scans, tmp_path):
    dataset = cached(scans, tmp_path)
    dataset.fill()
    dataset.set_data(scans[1:])
    assert len(dataset) == 2
    assert dataset[0]["subject"] == "b"
    assert len(Counted.calls) == 3


def test_intensity_statistics_over_all_voxels(scans, tmp_path):
    dataset = cached(scans, tmp_path, [LoadImaged(keys="image"), ScaleIntensityd(keys="image", minv=-100, maxv=300)])
    voxels = np.concatenate([item["image"].double().numpy().ravel() for item in dataset])
    mean, deviation = intensity_statistics(dataset)
    assert mean == pytest.approx(voxels.mean(), rel=1e-12)
    assert deviation == pytest.approx(voxels.std(), rel=1e-12)


def test_intensity_statistics_weight_volumes_by_size():
    small, large = torch.tensor([10.0, 14.0]), torch.zeros(6)
    mean, deviation = intensity_statistics([{"image": large}, {"image": small}])
    assert mean == 3.0
    assert deviation == pytest.approx(np.std([0] * 6 + [10, 14]))
    offset = [{"image": torch.tensor([1e7, 1e7 + 1], dtype=torch.float64)}]
    assert intensity_statistics(offset) == (1e7 + 0.5, 0.5)
    with pytest.raises(ValueError, match="at least one image"):
        intensity_statistics([])
