"""Studies on a DICOM server: MONAI Label lists, fetches and converts them, and stores labels there as DICOM-SEG."""

import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from common.data.reading import read_label
from tests.e2e.tiny import save, scan
from tests.monai_label.orthanc import write_series

pytestmark = pytest.mark.monai_label
BUNDLE = "adnet"
AFFINE = np.diag([-2.0, -2.0, 6.0, 1.0])  # axes as DICOM has them
LABELS = [{"name": "liver", "idx": 1}, {"name": "spleen", "idx": 4}]
# What OHIF's plugin adds to a request.
OHIF = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False, "restore_label_idx": False}
# MR is not what MONAI Label looks for by default, and without the second it misses labels submitted in the last hours.
SETTINGS = {"MONAI_LABEL_DICOMWEB_SEARCH_FILTER": '{"Modality": "MR"}', "MONAI_LABEL_DICOMWEB_CACHE_EXPIRY": "0"}


@pytest.fixture(scope="module")
def studies(orthanc, tmp_path_factory):
    """SeriesInstanceUID and label map of three scans, which are on the DICOM server."""
    folder = tmp_path_factory.mktemp("dicom")
    made = []
    for number in (1, 2, 3):
        image, label = scan(number)
        series = write_series(folder / f"case_{number}", image, AFFINE, f"case_{number}", "MR")
        orthanc.upload(sorted((folder / f"case_{number}").iterdir()))
        made.append((series, Path(save(folder / f"label_{number}.nii.gz", label, AFFINE))))
    return made


@pytest.fixture(scope="module")
def server(serve, packaged, orthanc, studies):
    return serve([packaged(BUNDLE)], orthanc.dicom_web, SETTINGS)


def dice(mask, label_map, value):
    drawn = np.asarray(nib.load(label_map).dataobj) == value
    return 2 * (mask & drawn).sum() / (mask.sum() + drawn.sum())


def test_from_refusal_to_segmentation(server, orthanc, studies):
    (first, first_label), (second, second_label), _ = studies
    assert server.info()["datastore"]["total"] == 3
    refused = server.infer(BUNDLE, second)
    assert refused.status == 400 and "submit" in refused.json["detail"]

    assert server.put_label(first, first_label, LABELS).status == 200
    (stored,) = orthanc.series("SEG")
    segmentation = pydicom.dcmread(io.BytesIO(orthanc.files(stored)[0]))
    assert [segment.SegmentLabel for segment in segmentation.SegmentSequence] == ["liver", "spleen"]
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == first

    answer = server.infer(BUNDLE, second, {"label_name": "liver"})
    assert answer.status == 200, server.tail(20)
    assert (answer.json["organs"], answer.json["support"]) == ({"liver": 1}, [first])
    mask = nib.load(answer.label)
    assert mask.shape == (64, 60, 6) and np.allclose(mask.affine, AFFINE)
    assert dice(np.asarray(mask.dataobj) > 0, second_label, 1) > 0.5


def test_the_answer_as_dicom_seg(server, studies):
    (first, first_label), (second, second_label), _ = studies
    server.put_label(first, first_label, LABELS)
    options = {"label_name": "liver", "support": first, "label_info": [{"name": "liver", "model_name": BUNDLE}]}
    answer = server.infer(BUNDLE, second, options, output="dicom_seg")
    assert answer.status == 200, server.tail(20)
    segmentation = pydicom.dcmread(answer.label)
    assert segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID == second
    frames = segmentation.PerFrameFunctionalGroupsSequence
    heights = [frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in frames]
    mask = np.zeros((64, 60, 6), bool)
    for height, pixels in zip(heights, segmentation.pixel_array, strict=True):
        mask[..., round(height / AFFINE[2, 2])] = pixels.T > 0
    assert dice(mask, second_label, 1) > 0.5


def test_batch_inference_and_training_take_what_was_not_opened_yet(server, studies):
    (first, first_label), (second, _), (third, third_label) = studies
    server.put_label(first, first_label, LABELS)
    options = {"label_name": "liver", "support": first, "device": "cpu", "multi_gpu": False}
    answer = server.batch_infer(BUNDLE, "unlabeled", **options)
    assert answer.status == 200 and set(answer.json) == {second, third}, server.tail(20)
    found = server.get_label(third, "original")
    assert dice(np.asarray(nib.load(found.label).dataobj) > 0, third_label, 1) > 0.5
    assert server.train(BUNDLE, max_epochs=1, device="cpu").status == 200, server.tail(20)
    assert len(list((server.bundle(BUNDLE) / "cache").glob("*.pt"))) == 3


def test_a_segmentation_that_another_program_stored_is_a_support(server, orthanc, studies, run_python, tmp_path):
    """OHIF exports what was drawn to the archive: here two slices of one organ, the others left out."""
    (first, _), (second, second_label), (third, third_label) = studies
    drawn = nib.load(third_label)
    part = np.where(np.asarray(drawn.dataobj) == 1, 2, 0).astype(np.int16)
    part[..., [0, 1, 4, 5]] = 0
    save(tmp_path / "part.nii.gz", part, drawn.affine)
    series = third_label.parent / "case_3"
    made = tmp_path / "part.dcm"
    arguments = ("--label", tmp_path / "part.nii.gz", "--output", made, "--names", "2=right lobe")
    run_python("-m", "common.tools.cli", "dicom-seg", "--series", series, *arguments)
    orthanc.upload([made])
    answer = server.infer(BUNDLE, second, {"support": third, **OHIF})
    assert answer.status == 200, (answer.json, server.tail(20))
    assert (answer.json["organs"], answer.json["support"]) == ({"right lobe": 1}, [third])
    assert dice(read_label(answer.label)[0].numpy() == 1, second_label, 1) > 0.5
    assert third in server.info()["models"][BUNDLE]["config"]["support"]
