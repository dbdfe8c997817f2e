"""Kills and full disks while results, packages and weights are written: the old file or the new one, whole."""

import gzip
import hashlib
import zipfile

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage

from common.configuration.workflow import bundle_workflow
from common.data.dicom.seg_writer import write_segmentation
from common.errors import guard
from common.files.writing import WriteError, write_state
from common.tools.packaging.package import package
from tests.conftest import forget_scripts
from tests.dicom.writer import SHAPE, values, write_series
from tests.durability import count_moments, finish, kill_at_moment, kills_at_random
from tests.e2e.tiny import SMALL, save, scan

RESULTS = [f"{name}_{kind}.nii.gz" for name in "ab" for kind in ("confidence", "seg")]


@pytest.fixture(scope="module")
def weights(bundle_root):
    """Two states of an untrained tiny network, which segment differently."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        forget_scripts(patch)
        workflow = bundle_workflow(
            bundle_root("adnet"), ["inference"], "infer", **SMALL["adnet"], device="cpu", checkpoint=None
        )
        state = workflow.parser.get_parsed_content("network_def").state_dict()
    return [{**state, "threshold": torch.full_like(state["threshold"], value)} for value in (-18.0, -14.0)]


@pytest.fixture
def segment(bundle_root, tmp_path):
    """A command that segments two scans with the weights in ``model.pt``; its results go to ``out``."""
    images = [save(tmp_path / f"{name}.nii.gz", scan(number)[0]) for number, name in enumerate("ab")]
    support = [save(tmp_path / name, array) for name, array in zip(("s.nii.gz", "l.nii.gz"), scan(3), strict=True)]
    settings = {**SMALL["adnet"], "device": "cpu", "confidence": True, "checkpoint": str(tmp_path / "model.pt")}
    settings |= {"image": images, "support_image": support[:1], "support_label": support[1:]}

    def run(output=tmp_path / "out"):
        places = {"output_dir": str(output)}
        guard(bundle_workflow(bundle_root("adnet"), ["inference"], "infer", **settings, **places).run)

    return run


def digests(folder):
    """Hashes of all results; none may be hidden, missing or unreadable."""
    for name in RESULTS:
        gzip.decompress((folder / name).read_bytes())
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in RESULTS]


@pytest.mark.slow
def test_a_killed_segmentation_leaves_old_or_new_results(segment, weights, tmp_path):
    made = []
    for state in weights:
        torch.save(state, tmp_path / "model.pt")
        assert finish(segment) == 0
        made.append(digests(tmp_path / "out"))
    assert all(first != second for first, second in zip(*made, strict=True))
    moments = count_moments(segment, tmp_path / "out")
    assert moments >= 20

    def check(number):
        found = digests(tmp_path / "out")
        assert all(digest in pair for digest, pair in zip(found, zip(*made, strict=True), strict=True)), number
        torch.save(weights[number % 2], tmp_path / "model.pt")

    for number in kills_at_random(segment):
        check(number)
    for moment in range(moments):
        assert kill_at_moment(segment, moment, tmp_path / "out")
        check(moment)
    assert finish(segment) == 0
    assert digests(tmp_path / "out") == made[(moments - 1) % 2]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == RESULTS


@pytest.mark.slow
def test_a_killed_packaging_leaves_the_old_or_the_new_bundle(bundle_root, weights, tmp_path):
    torch.save(weights[0], tmp_path / "model.pt")
    small = tmp_path / "adnet"
    import shutil

    import yaml

    shutil.copytree(bundle_root("adnet"), small, ignore=shutil.ignore_patterns("models", "cache", "eval"))
    (small / "configs" / "tiny.yaml").write_text("# Overlay: tiny.\n" + yaml.safe_dump(SMALL["adnet"]))

    def run():
        package(small, tmp_path / "dist", tmp_path / "model.pt", ["tiny"])

    def is_whole():
        folder = tmp_path / "dist" / "adnet"
        lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert found == {name for _, name in lines} | {"SHA256SUMS"}
        for digest, name in lines:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        (archive,) = (tmp_path / "dist").glob("adnet*.zip")
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None and "adnet/SHA256SUMS" in opened.namelist()

    moments = count_moments(run, tmp_path)
    is_whole()
    chosen = sorted({*np.linspace(0, moments - 1, 12).astype(int).tolist(), *range(moments - 12, moments)})
    for number in kills_at_random(run):
        is_whole()
        torch.save(weights[number % 2], tmp_path / "model.pt")
    for number, moment in enumerate(chosen):
        assert kill_at_moment(run, moment, tmp_path)
        is_whole()
        torch.save(weights[number % 2], tmp_path / "model.pt")
    assert finish(run) == 0
    is_whole()
    assert not [path.name for path in (tmp_path / "dist").iterdir() if path.name.startswith(".")]


def fill(disk, left=0):
    """Leave so many bytes of a disk."""
    content = b"\0" * 4096
    with (disk / "filler").open("wb", buffering=0) as stream:
        try:
            while stream.write(content) == len(content):
                pass
        except OSError:
            pass
        stream.truncate(max(0, stream.tell() - left))


def refused(run):
    with pytest.raises(SystemExit) as failure:
        run()
    message = str(failure.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("left", [0, 4096])
def test_results_on_a_full_disk(segment, weights, tmp_path, small_disk, left):
    disk = small_disk("256k")
    torch.save(weights[0], tmp_path / "model.pt")
    segment(disk)
    before = digests(disk)
    torch.save(weights[1], tmp_path / "model.pt")
    fill(disk, left)
    message = refused(lambda: segment(disk))
    assert f"no space left in {disk}; free some and run again" in message
    assert digests(disk)[:1] == before[:1]  # a_confidence, the larger of the first two
    (disk / "filler").unlink()
    segment(disk)
    assert digests(disk) != before and sorted(path.name for path in disk.iterdir()) == RESULTS


def test_weights_on_a_full_disk(weights, small_disk):
    disk = small_disk("64k")
    with pytest.raises(WriteError, match=f"model.pt: no space left in {disk}; free some and run again"):
        write_state(disk / "model.pt", weights[0])
    assert list(disk.iterdir()) == []


def test_a_package_on_a_full_disk(bundle_root, weights, tmp_path, small_disk):
    disk = small_disk("512k")
    torch.save(weights[0], tmp_path / "model.pt")
    with pytest.raises(WriteError, match=f"no space left in {disk}"):
        package(bundle_root("adnet"), disk, tmp_path / "model.pt", [])
    assert list(disk.iterdir()) == []


def test_a_dicom_seg_on_a_full_disk(tmp_path, small_disk):
    write_series(tmp_path / "series", values())
    affine = LoadImage(image_only=True, ensure_channel_first=True)(str(tmp_path / "series")).affine
    label = MetaTensor(torch.ones(1, *SHAPE, dtype=torch.int32), affine=affine)
    disk = small_disk("4k")
    with pytest.raises(WriteError, match=f"seg.dcm: no space left in {disk}"):
        write_segmentation(tmp_path / "series", label, disk / "seg.dcm", {1: "liver"}, "ADNet", "1")
    assert list(disk.iterdir()) == []
