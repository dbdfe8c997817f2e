"""DICOM series through the bundle runner: support, query, training data, DICOM-SEG. Damaged ones change nothing."""

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Compose
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from common.configuration.workflow import bundle_workflow
from common.errors import guard
from tests.dicom.test_segmentation import read_back
from tests.dicom.writer import write_series
from tests.e2e.tiny import SMALL, SMALL_TRAINING, save, scan

CONFIG = "bundles/adnet/configs/inference.yaml"
# A series at 2 x 2 x 6 mm from x = y = 0 on: DICOM's y runs backwards where NIfTI's runs forwards.
GRID = {"position": (0.0, -118.0, 0.0), "spacing": (2.0, 2.0), "step": 6.0, "rescale": (1, 0)}


def write_scan(folder, number, **options):
    """Write a scan as a series, and the same voxels and its label map as NIfTI files beside it."""
    image, label = (values[:, ::-1] for values in scan(number))
    stored = image.round().astype(np.uint16)
    write_series(folder / f"case.{number}", stored, **{**GRID, **options})
    return (
        folder / f"case.{number}",
        save(folder / "nifti" / f"case.{number}.nii.gz", stored[:, ::-1].astype(np.float32)),
        save(folder / "labelsTr" / f"case.{number}.nii.gz", label[:, ::-1]),
    )


@pytest.fixture(scope="module")
def infer(run_bundle, checkpoint, options):
    def run(support, label, query, output, check=True, **settings):
        places = {"support_image": support, "support_label": label, "image": query, "output_dir": output}
        arguments = {**SMALL["adnet"], **places, "checkpoint": checkpoint, **settings}
        return run_bundle("run", "--config_file", CONFIG, *options(**arguments), check=check)

    return run


def test_series_and_nifti_files_of_the_same_scans_get_the_same_answer(infer, tmp_path):
    support, support_nifti, label = write_scan(tmp_path, 1, syntax=JPEG2000Lossless, numbers=[4, 2, 0, 1, 5, 3])
    query, query_nifti, _ = write_scan(tmp_path, 2)
    other, *_ = write_scan(tmp_path, 3)
    names = "{1: 'liver', 4: 'spleen'}"
    infer(support, label, f"{query},{other}", tmp_path / "out", dicom_seg=True, organ_names=names)
    infer(support_nifti, label, query_nifti, tmp_path / "nifti_out")
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == ["case.2_seg.dcm", "case.2_seg.nii.gz", "case.3_seg.dcm", "case.3_seg.nii.gz"]
    answer, same = nib.load(tmp_path / "out" / found[1]), nib.load(tmp_path / "nifti_out" / found[1])
    values = answer.get_fdata()
    assert set(np.unique(values)) == {0, 1, 4}
    assert np.array_equal(values[:, ::-1], same.get_fdata())
    assert np.allclose(answer.affine @ [0, 59, 0, 1], same.affine @ [0, 0, 0, 1])

    dataset, segments = read_back(tmp_path / "out" / found[0], query)
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == ["liver", "spleen"]
    assert np.array_equal(np.array([0, 1, 4])[segments], values)
    sources = {dcmread(path).SOPInstanceUID for path in query.iterdir()}
    referenced = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {item.ReferencedSOPInstanceUID for item in referenced} == sources


def missing(folder):
    (folder / "slice_02.dcm").unlink()
    return "a slice is missing or misplaced after slice_01.dcm"


def mixed(folder):
    write_series(folder, scan(3)[0].astype(np.uint16), name="other_{}.dcm", uid="1.2.3.4", **GRID)
    return "2 series are mixed (6 slices like other_0.dcm, 6 slices like slice_00.dcm)"


def truncated(folder):
    path = folder / "slice_05.dcm"
    path.write_bytes(path.read_bytes()[:4000])
    return "slice_05.dcm: truncated or no DICOM image"


def undecodable(folder):
    dataset = dcmread(folder / "slice_03.dcm")
    dataset.compress(JPEG2000Lossless)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.100"
    dataset.save_as(folder / "slice_03.dcm")
    return "slice_03.dcm: ITK cannot decode its pixel data (transfer syntax 1.2.840.10008.1.2.4.100)"


@pytest.mark.parametrize("damage", [missing, mixed, truncated, undecodable])
@pytest.mark.parametrize("damaged", ["support", "query"])
def test_damaged_series_are_refused_by_name_and_nothing_is_written(bundle_root, tmp_path, damage, damaged, checkpoint):
    support, _, label = write_scan(tmp_path, 1)
    query, *_ = write_scan(tmp_path, 2)
    folder = {"support": support, "query": query}[damaged]
    words = damage(folder)
    files = {"support_image": support, "support_label": label, "image": query, "checkpoint": checkpoint}
    settings = {**SMALL["adnet"], "device": "cpu", "dicom_seg": True, "output_dir": str(tmp_path / "out")}
    settings |= {key: str(path) for key, path in files.items()}
    with pytest.raises(SystemExit) as failure:
        guard(bundle_workflow(bundle_root("adnet"), ["inference"], "infer", **settings).run)
    message = str(failure.value)
    assert message.startswith(f"error: {folder}") and words in message and "\n" not in message
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_the_runner_ends_with_the_one_line(infer, tmp_path):
    support, _, label = write_scan(tmp_path, 1)
    words = truncated(support)
    result = infer(support, label, support, tmp_path / "out", check=False)
    last = result.stdout.strip().splitlines()[-1]
    assert result.returncode == 1 and last.startswith(f"error: {support}/{words}"), last


def test_a_folder_of_series_is_trained_on(run_bundle, options, tmp_path):
    for number in range(1, 7):
        write_scan(tmp_path / "data" / "imagesTr", number)
    (tmp_path / "data" / "imagesTr" / "labelsTr").rename(tmp_path / "data" / "labelsTr")
    places = {name: tmp_path / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
    settings = {"dataset_dir": tmp_path / "data", "episodes_per_epoch": 2, "max_epochs": 1, "val_interval": 1}
    arguments = options(**SMALL_TRAINING["adnet"], **settings, **places)
    train = ("run", "training", "--config_file", "bundles/adnet/configs/train.yaml", *arguments)
    run_bundle(*train)
    assert (tmp_path / "ckpt_dir" / "model.pt").is_file()

    words = truncated(tmp_path / "data" / "imagesTr" / "case.5")
    last = run_bundle(*train, check=False).stdout.strip().splitlines()[-1]
    assert last.startswith("error: ") and f"case.5/{words}" in last


@pytest.mark.real_data
def test_real_ct_series_is_support_and_query_and_gets_a_segmentation(real_data, bundle_root, checkpoint, tmp_path):
    series = real_data / "totalsegmentator" / "ct_dicom"
    label = real_data / "totalsegmentator" / "ct_dicom_label.nii.gz"
    files = {"support_image": series, "support_label": label, "image": series, "checkpoint": checkpoint}
    settings = {**SMALL["adnet"], "device": "cpu", "dicom_seg": True, "output_dir": str(tmp_path), "organs": [1, 5]}
    settings |= {key: str(path) for key, path in files.items()} | {"organ_names": {1: "spleen", 5: "liver"}}
    settings |= {"image_size": 256, "spacing": [2.0, 2.0, 4.0], "intensity_window": [-125, 275]}
    workflow = bundle_workflow(bundle_root("adnet"), ["inference"], "infer", **settings)
    item = Compose(workflow.parser.get_parsed_content("prepare").geometry)({"image": str(series), "label": str(label)})
    assert item["image"].shape == item["label"].shape == (1, 256, 256, 10)
    stored = nib.load(label)
    for value in (1, 5):  # spleen and liver lie where they were drawn
        expected = stored.affine @ [*np.argwhere(stored.get_fdata() == value).mean(0), 1]
        found = item["label"].affine.numpy() @ [*np.argwhere(item["label"][0].numpy() == value).mean(0), 1]
        assert np.abs(found - expected)[:3].max() < 2.1, (found, expected)
    liver, background = (item["image"][item["label"] == value].mean() for value in (5, 0))
    assert 120 < float(liver) < 255 > 2 * float(background)

    guard(workflow.run)
    answer = nib.load(tmp_path / "ct_dicom_seg.nii.gz")
    assert answer.shape == (512, 512, 20) and set(np.unique(answer.get_fdata())) == {0, 1, 5}
    volume = hd.seg.segread(tmp_path / "ct_dicom_seg.dcm").get_volume(combine_segments=True)
    frames = np.moveaxis(volume.array, (0, 1, 2), (2, 1, 0))[:, :, ::-1]  # downwards
    assert np.array_equal(np.array([0, 1, 5])[frames], answer.get_fdata())
    corner = volume.affine @ [volume.array.shape[0] - 1, 0, 0, 1]
    assert np.allclose(corner[:3] * [-1, -1, 1], answer.affine[:3, 3])
