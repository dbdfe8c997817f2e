"""DICOM-SEG: every voxel, its place, its code and its source are read back with pydicom and highdicom."""

import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from pydicom import dcmread

from common.data.dicom.seg_writer import algorithm_of, write_segmentation
from common.errors import InputError
from common.results.marks import check_output, mark_of
from common.transforms import SaveDicomSegd
from tests.dicom.writer import SHAPE, emptied, rotation, values, write_series

NAMES = {1: "liver", 4: "left kidney", 300: "tumour bed"}
FROM = ("ADNet few-shot segmentation", "0.1.0")
READ = LoadImage(image_only=True, ensure_channel_first=True)


def organs(shape=SHAPE):
    """Label map that touches first and last rows, columns and slices and is like none of its mirror images."""
    label = np.zeros(shape, np.int16)
    label[: shape[0] // 3, 2 : shape[1] // 2, 1:] = 1
    label[shape[0] // 2 :, shape[1] // 3 :, :2] = 4
    label[5, 3, 0] = label[shape[0] - 1, 0, shape[2] - 1] = 300
    return label


@pytest.fixture(params=[(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), rotation(17, -31, 8)], ids=["axial", "sag", "oblique"])
def series(request, tmp_path):
    folder = tmp_path / "series"
    write_series(folder, values(), orientation=request.param, spacing=(0.7, 1.9), numbers=[3, 0, 4, 1, 2])
    return folder


def save_label(path, series, label, axes=(0, 1, 2), signs=(1, 1, 1)):
    """Save a label map, given on the grid that MONAI reads from the series, with its axes turned."""
    affine = READ(str(series)).affine.numpy()
    orientation = np.stack([axes, signs], 1)
    turned = affine @ nib.orientations.inv_ornt_aff(orientation, label.shape)
    nib.save(nib.Nifti1Image(nib.orientations.apply_orientation(label, orientation), turned), path)
    return path


def read_back(path, series):
    """Return a label map ``(X, Y, Z)`` of segment numbers on the series' grid, placed by the frames' own positions."""
    dataset = dcmread(path)
    image = READ(str(series))
    found = np.zeros(image.shape[1:], np.int16)
    to_index = np.linalg.inv(image.affine.numpy())
    shared = dataset.SharedFunctionalGroupsSequence[0]
    axes = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    rows, columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    pixels = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    frames = zip(dataset.PerFrameFunctionalGroupsSequence, pixels, strict=True)
    for groups, pixels in frames:
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in zip(*pixels.nonzero(), strict=True):
            place = corner + column * columns * axes[0] + row * rows * axes[1]
            index = (to_index @ [*(place * [-1, -1, 1]), 1])[:3]
            assert np.allclose(index, index.round(), atol=1e-3)
            found[tuple(index.round().astype(int))] = number
    return dataset, found


def test_voxels_geometry_codes_and_references(series, tmp_path):
    label = organs()
    path = write_segmentation(
        series, save_label(tmp_path / "label.nii.gz", series, label), tmp_path / "seg.dcm", NAMES, *FROM
    )
    dataset, found = read_back(path, series)
    assert [found[label == value].tolist() for value in (0, 1, 4, 300)] == [
        [number] * int((label == value).sum()) for number, value in enumerate((0, 1, 4, 300))
    ]
    coded = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in dataset.SegmentSequence]
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == list(NAMES.values())
    assert [(code.CodingSchemeDesignator, code.CodeValue, code.CodeMeaning) for code in coded] == [
        ("SCT", "10200004", "Liver"),
        ("SCT", "64033007", "Kidney"),
        ("99FEWSHOT", "TUMOURBED", "tumour bed"),
    ]
    assert coded[1].SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == "7771000"
    for segment in dataset.SegmentSequence:
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        identification = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (identification.AlgorithmName, identification.AlgorithmVersion) == FROM
        assert identification.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    sources = [dcmread(file, stop_before_pixels=True) for file in series.iterdir()]
    reference = dataset.ReferencedSeriesSequence[0]
    assert reference.SeriesInstanceUID == sources[0].SeriesInstanceUID
    assert {
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in reference.ReferencedInstanceSequence
    } == {(source.SOPClassUID, source.SOPInstanceUID) for source in sources}
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "StudyDate", "StudyID"):
        assert dataset.get(name) == sources[0].get(name), name
    assert dataset.SeriesDescription == f"Segmentation by {FROM[0]}"
    assert dataset.Modality == "SEG" and dataset.SegmentationType == "BINARY"


def test_highdicom_finds_each_segment_on_each_source_slice(series, tmp_path):
    label = organs()
    path = write_segmentation(
        series, save_label(tmp_path / "label.nii.gz", series, label), tmp_path / "seg.dcm", NAMES, *FROM
    )
    segmentation = hd.seg.segread(path)
    image = READ(str(series))
    to_index = np.linalg.inv(image.affine.numpy())
    for file in series.iterdir():
        source = dcmread(file, stop_before_pixels=True)
        place = np.array([-1, -1, 1]) * np.array(source.ImagePositionPatient, float)
        index = round(float((to_index @ [*place, 1])[2]))
        planes = segmentation.get_pixels_by_source_instance(
            [source.SOPInstanceUID], assert_missing_frames_are_empty=True
        )
        for number, value in enumerate(NAMES):
            assert np.array_equal(planes[0, :, :, number].T, label[:, :, index] == value)


@pytest.mark.parametrize(
    ("axes", "signs"), [((0, 1, 2), (1, -1, 1)), ((2, 0, 1), (-1, 1, -1))], ids=["flipped", "permuted"]
)
def test_label_map_in_another_orientation(series, tmp_path, axes, signs, caplog):
    caplog.set_level("INFO")
    path = save_label(tmp_path / "label.nii.gz", series, organs(), axes, signs)
    _, found = read_back(write_segmentation(series, path, tmp_path / "seg.dcm", NAMES, *FROM), series)
    assert np.array_equal(found > 0, organs() > 0)
    assert np.array_equal(found == 2, organs() == 4)
    assert not [record for record in caplog.records if record.name.startswith("highdicom")]


@pytest.fixture
def plain(tmp_path):
    folder = tmp_path / "plain"
    write_series(folder, values())
    return folder


def test_emptied_uids_are_derived_the_same_each_time(tmp_path, caplog):
    folder = tmp_path / "series"
    paths = write_series(folder, values(), change=emptied)
    label = save_label(tmp_path / "label.nii.gz", folder, organs())
    first, second = (dcmread(write_segmentation(folder, label, tmp_path / name, NAMES, *FROM)) for name in ("a", "b"))
    assert "StudyInstanceUID, SeriesInstanceUID empty" in caplog.text
    series_uid = first.ReferencedSeriesSequence[0].SeriesInstanceUID
    assert series_uid and series_uid == second.ReferencedSeriesSequence[0].SeriesInstanceUID
    assert first.StudyInstanceUID == second.StudyInstanceUID != series_uid
    assert first.SOPInstanceUID != second.SOPInstanceUID
    instances = first.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    meta = [dcmread(path).file_meta.MediaStorageSOPInstanceUID for path in paths]
    assert [item.ReferencedSOPInstanceUID for item in instances] == meta


def test_names_choose_what_is_written(plain, tmp_path, caplog):
    label = save_label(tmp_path / "label.nii.gz", plain, organs())
    path = write_segmentation(plain, label, tmp_path / "some.dcm", {0: "background", 4: "spleen", 9: "aorta"}, *FROM)
    assert [segment.SegmentLabel for segment in dcmread(path).SegmentSequence] == ["spleen"]
    assert "nothing drawn of aorta, left out" in caplog.text
    path = write_segmentation(plain, label, tmp_path / "all.dcm", None, *FROM)
    assert [segment.SegmentLabel for segment in dcmread(path).SegmentSequence] == ["organ 1", "organ 4", "organ 300"]


def test_one_slice(tmp_path):
    write_series(tmp_path / "series", values()[:, :, :1])
    label = save_label(tmp_path / "label.nii.gz", tmp_path / "series", organs()[:, :, :1])
    path = write_segmentation(tmp_path / "series", label, tmp_path / "seg.dcm", NAMES, *FROM)
    assert np.array_equal(read_back(path, tmp_path / "series")[1] == 1, organs()[:, :, :1] == 4)


def shifted(path, series):
    affine = READ(str(series)).affine.numpy() + np.eye(4)[:, [0, 1, 3, 2]] * 2
    nib.save(nib.Nifti1Image(organs(), affine), path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (shifted, "label affine differs"),
        (lambda path, series: save_label(path, series, organs((40, 40, 5))), "label grid"),
        (lambda path, series: save_label(path, series, organs() * 0), "no organ to write"),
        (lambda path, series: save_label(path, series, organs() * 0.5), "label value 0.5 found"),
        (lambda path, series: None, "no file"),
    ],
    ids=["shifted", "shape", "empty", "fraction", "nowhere"],
)
def test_unusable_label_maps_are_refused_and_nothing_is_written(plain, tmp_path, make, words):
    make(tmp_path / "label.nii.gz", plain)
    with pytest.raises(InputError, match=words) as failure:
        write_segmentation(plain, tmp_path / "label.nii.gz", tmp_path / "out" / "seg.dcm", NAMES, *FROM)
    assert "label.nii.gz" in str(failure.value)
    assert not (tmp_path / "out").exists()


def test_transform_writes_the_prediction_beside_its_kind(plain, tmp_path, bundle_root, caplog):
    image = READ(str(plain))
    prediction = MetaTensor(torch.as_tensor(organs())[None]).copy_meta_from(image)
    save = SaveDicomSegd("pred", str(bundle_root("adnet")), {"1": "liver", "4": "spleen"})
    names = {"answer": str(tmp_path / "out" / "plain"), "mark": mark_of(plain)}
    save({"pred": prediction, **names})
    check_output(tmp_path / "out" / "plain_seg.dcm", mark_of(plain))
    with pytest.raises(InputError, match="not made by this command"):
        check_output(tmp_path / "out" / "plain_seg.dcm", mark_of(tmp_path))
    dataset, found = read_back(tmp_path / "out" / "plain_seg.dcm", plain)
    assert np.array_equal(found == 2, organs() == 4)
    assert dataset.ManufacturerModelName == algorithm_of(bundle_root("adnet"))[0]
    shutil.rmtree(tmp_path / "out")
    save({"pred": prediction * 0, **names})
    assert "no organ was found, so no DICOM-SEG is written" in caplog.text and not (tmp_path / "out").exists()
    prediction.meta["filename_or_obj"] = "scan.nii.gz"
    with pytest.raises(InputError, match=r"scan.nii.gz: DICOM-SEG refers to a DICOM series"):
        save({"pred": prediction, **names})


def test_the_verb(plain, tmp_path, run_python, bundle_root):
    label = save_label(tmp_path / "label.nii.gz", plain, organs())
    run = ("-m", "common.tools.cli", "dicom-seg", "--series", plain, "--label", label)
    run_python(*run, "--output", tmp_path / "a.dcm", "--names", "4=left kidney", "--bundle", bundle_root("adnet"))
    segmentation = dcmread(tmp_path / "a.dcm")
    assert [segment.SegmentLabel for segment in segmentation.SegmentSequence] == ["left kidney"]
    assert segmentation.ManufacturerModelName == algorithm_of(bundle_root("adnet"))[0]
    result = run_python(*run, "--output", tmp_path / "b.dcm", "--names", "9=aorta", check=False)
    assert result.returncode == 1 and "no organ to write, the label map holds [1, 4, 300]" in result.stdout
    assert not (tmp_path / "b.dcm").exists()


def test_missing_packages_are_named(run_python, bundle_root):
    program = f"""
import sys
sys.modules["highdicom"] = None
from common.results.marks import check_output, mark_of
from common.transforms import SaveDicomSegd
SaveDicomSegd("pred", {str(bundle_root("adnet"))!r})
"""
    result = run_python("-c", program, check=False)
    assert 'DICOM-SEG needs highdicom: pip install "fewshot-bundles[dicom]"' in result.stdout


def test_the_guides_program_finds_the_source_of_each_frame(plain, tmp_path, run_python):
    label = save_label(tmp_path / "label.nii.gz", plain, organs())
    write_segmentation(plain, label, tmp_path / "out" / "ct_18_seg.dcm", NAMES, *FROM)
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "dicom.md").read_text()
    printed = run_python("-c", guide.split("```python\n")[1].split("```")[0], cwd=tmp_path).stdout.splitlines()
    order = [dcmread(path).SOPInstanceUID for path in sorted(plain.iterdir())]
    expected = [
        f"{name} {int((organs()[:, :, index] == value).sum())} voxels on {order[index]}"
        for value, name in NAMES.items()
        for index in range(SHAPE[2])
        if (organs()[:, :, index] == value).any()
    ]
    assert sorted(printed) == sorted(expected)


@pytest.fixture(scope="session")
def dciodvfy():
    """Errors that David Clunie's validator finds in a file."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian: apt-get install dicom3tools): DICOM-SEG was not validated")

    def errors(path):
        result = subprocess.run([program, str(path)], capture_output=True, text=True)
        lines = (result.stdout + result.stderr).splitlines()
        assert "Segmentation" in lines
        return [line for line in lines if line.startswith("Error")]

    return errors


@pytest.mark.parametrize("change", [lambda dataset, index: None, emptied], ids=["uids", "emptied"])
def test_validator_finds_no_error(tmp_path, dciodvfy, change):
    write_series(tmp_path / "series", values(), change=change, orientation=rotation(17, -31, 8))
    label = save_label(tmp_path / "label.nii.gz", tmp_path / "series", organs())
    path = write_segmentation(tmp_path / "series", label, tmp_path / "seg.dcm", NAMES, *FROM)
    assert dciodvfy(path) == []
    broken = dcmread(path)
    del broken.SegmentSequence
    broken.save_as(tmp_path / "broken.dcm")
    assert dciodvfy(tmp_path / "broken.dcm") != []


@pytest.mark.real_data
def test_real_label_map(real_data, tmp_path, dciodvfy):
    series = real_data / "totalsegmentator" / "ct_dicom"
    label = real_data / "totalsegmentator" / "ct_dicom_label.nii.gz"
    names = {1: "spleen", 5: "liver", 52: "aorta"}
    path = write_segmentation(series, label, tmp_path / "seg.dcm", names, *FROM)
    assert dciodvfy(path) == []
    stored = np.asanyarray(nib.load(label).dataobj)[:, ::-1]  # the series runs the other way along y
    volume = hd.seg.segread(path).get_volume(combine_segments=True)
    on_series = np.moveaxis(volume.array, (0, 1, 2), (2, 1, 0))[:, :, ::-1]
    first = volume.affine @ [19, 0, 0, 1]  # frames go downwards
    assert np.allclose(first[:3], [-249.51171875, -437.51171875, -804.5])
    for number, value in enumerate(names, 1):
        assert np.array_equal(on_series == number, stored == value)
    dataset = dcmread(path)
    references = {
        item.ReferencedSOPInstanceUID for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert references == {
        dcmread(file, stop_before_pixels=True).file_meta.MediaStorageSOPInstanceUID for file in series.iterdir()
    }
