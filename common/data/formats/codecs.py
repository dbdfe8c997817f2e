"""Compressed DICOM pixels, decoded by ITK in a process of its own: a damaged stream can end the process it is in."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import InputError

_SECONDS = 60  # and one more for each slice
# Reads paths, writes the values of all slices to the first argument and a line for each slice that is done.
_PROGRAM = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
except ImportError:
    pass
import itk
itk.ProcessObject.SetGlobalWarningDisplay(False)
with open(sys.argv[1], "wb") as output:
    for path in sys.stdin.read().split("\\0"):
        image = itk.imread(path, itk.F, imageio=itk.GDCMImageIO.New())
        values = itk.array_view_from_image(image)
        print(*values.shape[-2:], flush=True)
        values.tofile(output)
"""


def decode(paths: Sequence[Path], syntaxes: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Decode compressed slices.

    Args:
        paths: their files.
        syntaxes: their transfer syntaxes, for messages.
        size: columns and rows of each.

    Returns:
        Rescaled values ``(columns, rows, slices)`` as float32.

    Raises:
        InputError: ITK cannot decode one of them.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "values"
        command = [sys.executable, "-c", _PROGRAM, str(output)]
        try:
            child = subprocess.run(
                command,
                input="\0".join(str(path.absolute()) for path in paths),
                capture_output=True,
                text=True,
                timeout=_SECONDS + len(paths),
            )
            done, status = child.stdout.splitlines(), child.returncode
        except subprocess.TimeoutExpired as error:
            done, status = (error.stdout or b"").decode().splitlines(), -1
        wrong = next((at for at, line in enumerate(done) if line != f"{size[1]} {size[0]}"), len(done))
        if status or wrong < len(paths):
            wrong = min(wrong, len(paths) - 1)
            raise InputError(
                f"{paths[wrong]}: ITK cannot decode its pixel data (transfer syntax {syntaxes[wrong]}); copy it again, "
                "or decompress the series, for instance with gdcmconv --raw"
            )
        return np.fromfile(output, np.float32).reshape(len(paths), size[1], size[0]).T
