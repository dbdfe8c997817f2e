"""Small DICOM series, written with pydicom."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

SHAPE = (48, 40, 5)
_WRITTEN_AS_IS = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)


def values(shape=SHAPE, seed=0):
    """Stored values with structure, different in every voxel row, 12 bits."""
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    noise = np.random.default_rng(seed).integers(0, 50, shape)
    return (40 * x + 7 * y + 300 * z + noise).astype(np.uint16)


def write_series(
    folder,
    stored,
    position=(-20.0, 30.0, -40.0),
    orientation=(1, 0, 0, 0, 1, 0),
    spacing=(1.5, 1.0),
    step=3.0,
    syntax=ExplicitVRLittleEndian,
    rescale=(2, -1024),
    uid="1.2.826.0.1.3680043.10.511.1",
    name="slice_{:02d}.dcm",
    numbers=None,
    description="axial",
    change=lambda dataset, index: None,
):
    """Write slices ``stored[:, :, k]``; ``spacing`` is (rows, columns), as in the tag. Return the files by k."""
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    numbers = numbers or list(range(stored.shape[2]))
    paths = []
    for index in range(stored.shape[2]):
        dataset = Dataset()
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = f"{uid}.{index + 1}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{uid[:-2]}.8", uid
        dataset.FrameOfReferenceUID = f"{uid[:-2]}.9"
        dataset.Modality, dataset.SeriesNumber, dataset.SeriesDate = "CT", 3, "20260101"
        dataset.SeriesDescription = description
        dataset.PatientName, dataset.PatientID, dataset.StudyID = "Doe^Jane", "42", "7"
        dataset.StudyDate, dataset.StudyTime = "20260101", "120000"
        dataset.InstanceNumber = numbers[index] + 1
        dataset.ImagePositionPatient = [round(float(part), 6) for part in position + index * step * normal]
        dataset.ImageOrientationPatient = [round(float(part), 9) for part in orientation]
        dataset.PixelSpacing, dataset.SliceThickness = list(spacing), step
        dataset.Rows, dataset.Columns = stored.shape[1], stored.shape[0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        dataset.RescaleSlope, dataset.RescaleIntercept = rescale
        dataset.PixelData = np.ascontiguousarray(stored[:, :, index].T).tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta, dataset.preamble = FileMetaDataset(), bytes(128)
        dataset.file_meta.TransferSyntaxUID = syntax if syntax in _WRITTEN_AS_IS else ExplicitVRLittleEndian
        if syntax not in _WRITTEN_AS_IS:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        change(dataset, index)
        paths.append(folder / name.format(numbers[index]))
        dataset.save_as(paths[-1])
    return paths


def emptied(dataset, index):
    """De-identify as some archives do: UIDs are there but empty."""
    for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"):
        setattr(dataset, name, "")
    dataset.SeriesNumber = None


def rotation(*degrees):
    """Direction cosines of rows and columns, six numbers, after turns about x, y and z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    return tuple(matrix[:, :2].T.ravel())
