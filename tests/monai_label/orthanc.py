"""Debian's Orthanc, a DICOM server with DICOMweb, on loopback with a storage folder of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
START_SECONDS = 60
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def missing() -> str | None:
    """Return what is not installed, and how to install it, or None."""
    if shutil.which("Orthanc") and PLUGIN.is_file():
        return None
    return "Orthanc is not here: apt-get install --no-install-recommends orthanc orthanc-dicomweb"


class Orthanc:
    """A DICOM server without authentication; ``dicom_web`` is the address that MONAI Label takes as studies.

    Args:
        folder: an empty folder for its configuration, storage and log.
    """

    def __init__(self, folder: Path) -> None:
        ports = _free_ports(2)
        self.address = f"http://127.0.0.1:{ports[0]}"
        self.dicom_web = f"{self.address}/dicom-web"
        self.log = folder / "orthanc.log"
        settings = {
            "Name": "tests",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": ports[0],
            "DicomPort": ports[1],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": True},
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        command = ["Orthanc", str(folder / "orthanc.json")]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._wait()

    def upload(self, files: Iterable[Path]) -> None:
        """Store DICOM files."""
        for file in files:
            self.call("/instances", file.read_bytes())

    def series(self, modality: str) -> list[dict[str, Any]]:
        """Return the main tags of all series of a modality, "SEG" for stored segmentations; "ID" is Orthanc's own."""
        query = {"Level": "Series", "Expand": True, "Query": {"Modality": modality}}
        found = json.loads(self.call("/tools/find", json.dumps(query).encode()))
        return [{**one["MainDicomTags"], "ID": one["ID"], "Instances": one["Instances"]} for one in found]

    def files(self, series: dict[str, Any]) -> list[bytes]:
        """Return the DICOM files of a series of ``series``."""
        return [self.call(f"/instances/{instance}/file") for instance in series["Instances"]]

    def call(self, path: str, data: bytes | None = None) -> bytes:
        """GET, or POST data, and return the answer."""
        with _NO_PROXY.open(urllib.request.Request(self.address + path, data), timeout=60) as response:
            return response.read()

    def close(self) -> None:
        """Stop the server."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.call("/system")
                return
            except urllib.error.URLError:
                time.sleep(0.2)
        self.close()
        raise RuntimeError(f"Orthanc did not start:\n{self.log.read_text()[-3000:]}")


def write_series(
    folder: Path, values: np.ndarray, affine: np.ndarray, name: str, modality: str = "CT", study: str | None = None
) -> str:
    """Write a scan as one DICOM file per slice and return its SeriesInstanceUID, which is its id in MONAI Label.

    Args:
        folder: folder to be made, for this series alone.
        values: intensities ``(X, Y, Z)``, stored as 16-bit integers.
        affine: ``(4, 4)``, NIfTI's: voxel indices to millimetres, right, anterior, superior.
        name: the patient's.
        modality: MONAI Label lists CT unless MONAI_LABEL_DICOMWEB_SEARCH_FILTER says otherwise.
        study: StudyInstanceUID; None makes a new one.
    """
    import pydicom
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

    folder.mkdir(parents=True)
    storage = {"CT": CTImageStorage, "MR": MRImageStorage}[modality]
    series, study, frame = generate_uid(), study or generate_uid(), generate_uid()
    matrix = np.diag([-1, -1, 1, 1]) @ affine  # DICOM: left, posterior, superior
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    for index in range(values.shape[2]):
        image = pydicom.Dataset()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = storage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID = generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.PatientID = image.PatientName = image.StudyID = name
        image.PatientBirthDate = image.PatientSex = image.AccessionNumber = image.ReferringPhysicianName = ""
        image.StudyDate, image.StudyTime, image.Modality = "20240102", "101112", modality
        image.SeriesNumber, image.InstanceNumber = 1, index + 1
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.Rows, image.Columns = values.shape[1], values.shape[0]
        image.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        image.SliceThickness = float(spacing[2])
        image.ImageOrientationPatient = [*(matrix[:3, 0] / spacing[0]), *(matrix[:3, 1] / spacing[1])]
        image.ImagePositionPatient = list((matrix @ [0, 0, index, 1])[:3])
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.RescaleIntercept, image.RescaleSlope = 0, 1
        image.PixelData = np.ascontiguousarray(values[:, :, index].T).round().astype("<i2").tobytes()
        image.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)
    return str(series)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
