"""Damaged scans, made from sound ones with a seeded generator, and a process that reads them."""

import gzip
import os
import resource
import signal
import time
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from common.data.reading import read_label, read_scan, scan_shape
from common.errors import InputError
from tests.dicom.writer import values, write_series

SECONDS = 60  # for one file, on a machine that does much else
LARGEST = 5 * 10**8  # bytes on top of what the process holds after its imports
_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless]


def sound_files(folder):
    """Write small sound scans, NIfTI files for the most part; returns their paths."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 900, (12, 10, 6)).astype(np.int16)
    image = nib.Nifti1Image(array, np.diag([-1.5, 2, 3, 1]))
    image.header.set_xyzt_units("mm")
    paths = [folder / name for name in ("a.nii", "b.nii.gz", "c.nii", "d.nrrd", "e.nrrd", "f.mha", "g.mha")]
    for path, kind in zip(paths[:3], (nib.Nifti1Image, nib.Nifti1Image, nib.Nifti2Image), strict=True):
        nib.save(kind.from_image(image), path)
    for path in paths[3:]:
        itk.imwrite(itk.image_from_array(np.ascontiguousarray(array.T)), str(path), compression=path.stem in "eg")
    return paths


def sound_series(folder):
    """Write small sound series; returns the contents of their files."""
    stored = values((12, 10, 3))
    return [
        [path.read_bytes() for path in write_series(folder / str(number), stored, syntax=syntax)]
        for number, syntax in enumerate(_SYNTAXES)
    ]


def mutate(content, rng, header):
    """Change bits, bytes or a stretch of a file, most often in its header, or cut it short."""
    content, kind = bytearray(content), rng.integers(5)
    last = header if header and rng.random() < 0.7 else len(content)

    def somewhere():
        return int(rng.integers(min(last, len(content))))

    if kind == 0:
        for _ in range(rng.integers(1, 4)):
            content[somewhere()] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        for _ in range(rng.integers(1, 4)):
            content[somewhere()] = int(rng.integers(256))
    elif kind == 2:
        del content[int(rng.integers(len(content))) :]
    elif kind == 3:
        start, length = somewhere(), int(rng.integers(1, 9))
        content[start : start + length] = bytes([int(rng.choice([0, 127, 128, 255]))]) * length
    else:
        start, length = somewhere(), int(rng.integers(1, 40))
        content[start:start] = content[somewhere() :][:length]
    return bytes(content)


def mutate_file(path, rng, target):
    """Write a mutant of a file; of a compressed one also such with a sound stream around a damaged scan."""
    content = path.read_bytes()
    if path.name.endswith(".gz") and rng.random() < 0.5:
        content = gzip.compress(mutate(gzip.decompress(content), rng, 352))
    else:
        content = mutate(content, rng, 0 if path.name.endswith(".gz") else 352)
    target = target.with_name(target.name + path.name[1:])
    target.write_bytes(content)
    return target


def mutate_series(files, rng, target):
    """Write a series with one mutant in it."""
    target.mkdir()
    wrong = rng.integers(len(files))
    for number, content in enumerate(files):
        changed = content[:132] + mutate(content[132:], rng, 1000) if number == wrong else content
        (target / f"{number}.dcm").write_bytes(changed)
    return target


def read_all(paths):
    """Read every path as a scan and as a label map in a forked process.

    Returns:
        One line for each path that was neither read whole nor refused in one line, and the numbers of those that were
        read and of those that were refused.
    """
    faults, good, refused = [], 0, 0
    rest = list(paths)
    while rest:
        outcomes, end = _in_a_child(rest)
        good += outcomes.count("good")
        refused += outcomes.count("refused")
        faults += [
            f"{path}: {outcome}"
            for path, outcome in zip(rest, outcomes, strict=False)
            if outcome not in ("good", "refused")
        ]
        if len(outcomes) < len(rest):
            faults.append(f"{rest[len(outcomes)]}: ended the process, {end}")
            outcomes.append("ended")
        rest = rest[len(outcomes) :]
    return faults, good, refused


def _in_a_child(paths):
    log = Path(paths[0]).parent / "outcomes"
    log.write_text("")
    process = os.fork()
    if process == 0:
        status = 1
        try:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            with log.open("a", buffering=1) as stream:
                for path in paths:
                    stream.write(_outcome(path) + "\n")
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(process, 0)
    return log.read_text().splitlines(), f"status {status}"


def _outcome(path):
    signal.alarm(SECONDS)
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = [_read(read, path) for read in (scan_shape, read_scan, read_label)]
    signal.alarm(0)
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if used > LARGEST:
        return f"{used / 1e6:.0f} MB"
    if time.monotonic() - start > SECONDS / 2:
        return "slow"
    wrong = [outcome for outcome in found if outcome not in ("good", "refused")]
    return wrong[0] if wrong else found[1]


def _read(read, path):
    try:
        volume = read(path)
    except InputError as error:
        message = str(error)
        return "refused" if "\n" not in message and str(path) in message and len(message) < 600 else repr(message)
    except BaseException as error:
        return repr(error).replace("\n", " ")
    if read is scan_shape:
        return "good"
    sound = volume.ndim == 4 and bool(np.isfinite(volume.numpy()).all()) and bool(np.isfinite(volume.affine).all())
    return "good" if sound else "an unsound volume"
