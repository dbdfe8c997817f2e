"""Bad input ends with one clear line and leaves nothing half-written."""

import errno
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from common.configuration.workflow import bundle_workflow
from common.errors import guard
from common.networks import ResNetEncoder
from tests.e2e.tiny import AFFINE, SMALL, SMALL_TRAINING, save, scan


@pytest.fixture(scope="module")
def checkpoint(bundle_root, tmp_path_factory):
    """Weights of an untrained tiny network."""
    workflow = bundle_workflow(
        bundle_root("adnet"), ["inference"], "infer", **SMALL["adnet"], device="cpu", checkpoint=None
    )
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(workflow.parser.get_parsed_content("network_def").state_dict(), path)
    return str(path)


@pytest.fixture
def segment(bundle_root, dataset, checkpoint, tmp_path):
    """Run inference with some arguments replaced; returns the output folder."""

    def run(**replaced):
        arguments = {
            "image": str(dataset / "imagesTr/case_1.nii.gz"),
            "support_image": str(dataset / "imagesTr/case_3.nii.gz"),
            "support_label": str(dataset / "labelsTr/case_3.nii.gz"),
            "checkpoint": checkpoint,
            "output_dir": str(tmp_path / "out"),
            "device": "cpu",
        }
        settings = {**SMALL["adnet"], **arguments, **replaced}
        workflow = bundle_workflow(bundle_root("adnet"), ["inference"], "infer", **settings)
        guard(workflow.run)
        return tmp_path / "out"

    return run


def refused(run, **replaced):
    """Return the one line of a refusal."""
    with pytest.raises(SystemExit) as failure:
        run(**replaced)
    message = str(failure.value)
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


def written(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_good_input_is_segmented(segment):
    assert written(segment()) == ["case_1_seg.nii.gz"]


def nan_scan(image):
    image[3, 4, 2] = np.nan
    return image


def write_affine(path, affine):
    """Put an affine into a NIfTI file that nibabel would refuse to write: qform off, sform rows at byte 280."""
    with open(path, "r+b") as stream:
        stream.seek(252)
        stream.write(struct.pack("<2h", 0, 1))
        stream.seek(280)
        stream.write(np.asarray(affine[:3], "<f4").tobytes())


@pytest.mark.parametrize("key", ["image", "support_image"])
@pytest.mark.parametrize(
    ("change", "affine", "words"),
    [
        (nan_scan, AFFINE, ["1 voxels are NaN", "replace"]),
        (lambda image: np.full_like(image, 7), AFFINE, ["every voxel is 7", "check the file"]),
        (lambda image: np.stack([image, image], -1), AFFINE, ["4D with 2 volumes", "one 3D volume"]),
        (lambda image: image[:, :, 3], AFFINE, ["has 2 dimensions", "stack the slices"]),
        (lambda image: image, np.diag([2.0, 0.0, 6.0, 1.0]), ["affine is not invertible", "repair"]),
    ],
    ids=["nan", "constant", "4d", "2d", "affine"],
)
def test_unusable_scans(segment, tmp_path, key, change, affine, words):
    path = save(tmp_path / "bad.nii", change(scan(1)[0]))
    if affine is not AFFINE:
        write_affine(path, affine)
    message = refused(segment, **{key: path})
    assert all(word in message for word in ["bad.nii", *words]), message
    assert written(tmp_path / "out") == []


def corrupt(content):
    """Flip a bit of the checksum."""
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


@pytest.mark.parametrize("key", ["image", "support_image", "support_label"])
@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("a.nii.gz", lambda content: content[: len(content) // 2], "truncated or damaged"),
        ("a.nii.gz", corrupt, "CRC check failed"),
        ("A.NII.GZ", corrupt, "CRC check failed"),
        ("a.nii.gz", lambda content: b"a note", "not a readable NIfTI file"),
        ("a.nrrd", lambda content: content, "not a readable NRRD file"),
        ("a.mha", lambda content: content, "not a readable MetaImage file"),
        ("note.txt", lambda content: b"a note", "not a file of a scan"),
    ],
    ids=["truncated", "corrupt", "capitals", "text", "nrrd", "mha", "other"],
)
def test_damaged_files(segment, dataset, tmp_path, key, name, damage, words):
    source = dataset / ("labelsTr" if key == "support_label" else "imagesTr") / "case_3.nii.gz"
    (tmp_path / name).write_bytes(damage(source.read_bytes()))
    message = refused(segment, **{key: str(tmp_path / name)})
    assert str(tmp_path / name) in message and words in message, message
    assert written(tmp_path / "out") == []


@pytest.mark.parametrize("key", ["image", "support_image", "support_label"])
def test_colours(segment, tmp_path, key):
    colours = np.zeros((64, 60, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = save(tmp_path / "rgb.nii.gz", colours)
    assert f"{path}: its voxels are colours" in refused(segment, **{key: path})


@pytest.mark.parametrize("key", ["image", "support_image", "support_label", "checkpoint"])
def test_missing_files(segment, tmp_path, key):
    message = refused(segment, **{key: str(tmp_path / "nowhere.nii.gz")})
    assert "no file" in message and "nowhere.nii.gz" in message
    assert written(tmp_path / "out") == []


def test_empty_support_mask(segment, tmp_path):
    empty = save(tmp_path / "empty.nii.gz", np.zeros((64, 60, 6), np.int16))
    message = refused(segment, support_label=empty)
    assert "empty.nii.gz: the support label map is empty" in message


def test_support_label_that_is_not_there(segment):
    message = refused(segment, organs=[1, 3])
    assert "label values [3] are not there; it holds [1, 4]" in message


@pytest.mark.parametrize(
    ("values", "affine", "words"),
    [
        (scan(3)[1][:, :, :5], AFFINE, "label grid (64, 60, 5) differs from (64, 60, 6)"),
        (scan(3)[1], np.diag([-2.0, 2.0, 5.0, 1.0]), "label affine differs"),
        (scan(3)[1] * 0.5, AFFINE, "label value 0.5 found"),
    ],
    ids=["shape", "affine", "fraction"],
)
def test_label_that_does_not_fit_its_image(segment, tmp_path, values, affine, words):
    path = save(tmp_path / "label.nii.gz", values.astype(np.float32), affine)
    message = refused(segment, support_label=path)
    assert "label.nii.gz" in message and words in message, message


def test_checkpoint_of_another_network(segment, tmp_path):
    path = tmp_path / "other.pt"
    torch.save(ResNetEncoder(18).state_dict(), path)
    assert "checkpoint of another network" in refused(segment, checkpoint=str(path))
    assert written(tmp_path / "out") == []


def test_ep1_without_a_range(segment):
    assert "query_slices" in refused(segment, protocol="ep1")
    assert "slices are 0 to 5" in refused(segment, protocol="ep1", query_slices=[2, 9])


def test_full_disk_while_caching(bundle_root, dataset, tmp_path, monkeypatch):
    def full(path, content):
        with path.open("wb") as stream:
            stream.write(content[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    workflow = bundle_workflow(
        bundle_root("adnet"),
        ["train"],
        **SMALL_TRAINING["adnet"],
        dataset_dir=str(dataset),
        cache_dir=str(tmp_path / "cache"),
        ckpt_dir=str(tmp_path / "models"),
        output_dir=str(tmp_path / "eval"),
    )
    monkeypatch.setattr(Path, "write_bytes", full)
    message = refused(lambda: guard(workflow.run))
    assert f"no space left in {tmp_path / 'cache'}" in message, message
    assert written(tmp_path / "cache") == []


def test_nothing_to_resume_from_is_seen_before_any_volume_is_prepared(bundle_root, dataset, tmp_path):
    places = {name: str(tmp_path / name) for name in ("cache_dir", "ckpt_dir", "output_dir")}
    settings = {**SMALL_TRAINING["adnet"], **places, "dataset_dir": str(dataset), "resume": True}
    workflow = bundle_workflow(bundle_root("adnet"), ["train"], **settings)
    assert "no checkpoint_iteration=*.pt to resume from" in refused(lambda: guard(workflow.run))
    assert written(tmp_path) == []


def test_dataset_that_is_not_there(bundle_root, tmp_path):
    def run():
        guard(bundle_workflow(bundle_root("adnet"), ["train"], dataset_dir=str(tmp_path / "nowhere")).run)

    assert "nowhere is not a folder" in refused(run)


def test_a_scan_is_not_its_own_label_map(segment, dataset, tmp_path):
    image = str(dataset / "imagesTr/case_3.nii.gz")
    assert "given as support scan and as its label map" in refused(segment, support_label=image)
    other = save(tmp_path / "other.nii.gz", np.arange(64 * 60 * 6, dtype=np.float32).reshape(64, 60, 6) % 300)
    assert "299 label values found; if it is no scan, list organs" in refused(segment, support_label=other)


def test_a_folder_that_cannot_be_made_is_named_before_any_work(segment, tmp_path):
    (tmp_path / "file").touch()
    message = refused(segment, output_dir=str(tmp_path / "file" / "out"))
    assert f"output_dir {tmp_path / 'file' / 'out'}: {tmp_path / 'file'} is a file" in message


def test_a_mistake_is_said_once(segment, tmp_path, caplog):
    message = refused(segment, organs=[1, 3])
    assert "label values [3]" in message
    assert "terminating" not in caplog.text and "label values" not in caplog.text
