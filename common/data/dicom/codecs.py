"""Compressed DICOM pixels, decoded by ITK in a process of its own: a damaged stream can end the process it is in."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ...errors import InputError

_SECONDS = 60.0  # for one slice; the first one waits for ITK
# For each line with the names of a slice's file and of one for its values, answers with rows and columns, or nothing.
_PROGRAM = """
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
except ImportError:
    pass
import itk
itk.ProcessObject.SetGlobalWarningDisplay(False)
for line in sys.stdin:
    source, target = json.loads(line)
    try:
        values = itk.array_view_from_image(itk.imread(source, itk.F, imageio=itk.GDCMImageIO.New()))
        values.tofile(target)
        print(*values.shape[-2:], flush=True)
    except Exception:
        print(flush=True)
"""
_decoders: dict[int, subprocess.Popen[str]] = {}  # by process: a forked one has none yet
_locks: dict[int, threading.Lock] = {}  # likewise: it may be held while a process is forked


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
    columns, rows = size
    values = np.empty((columns, rows, len(paths)), np.float32)
    with tempfile.TemporaryDirectory() as folder, _locks.setdefault(os.getpid(), threading.Lock()):
        target = Path(folder) / "values"
        for number, (path, syntax) in enumerate(zip(paths, syntaxes, strict=True)):
            if _ask(path, target) != f"{rows} {columns}":
                raise InputError(
                    f"{path}: ITK cannot decode its pixel data (transfer syntax {syntax}); copy it again, or "
                    "decompress the series, for instance with gdcmconv --raw"
                )
            values[..., number] = np.fromfile(target, np.float32).reshape(rows, columns).T
    return values


def _ask(source: Path, target: Path) -> str:
    """Have one slice decoded; an empty answer: it could not be."""
    decoder = _decoder()
    assert decoder.stdin is not None and decoder.stdout is not None
    watch = threading.Timer(_SECONDS, decoder.kill)
    watch.start()
    try:
        decoder.stdin.write(json.dumps([str(source.absolute()), str(target)]) + "\n")
        decoder.stdin.flush()
        return decoder.stdout.readline().strip()
    except BrokenPipeError:
        return ""
    finally:
        watch.cancel()


def _decoder() -> subprocess.Popen[str]:
    """The decoding process of this one; started anew where the last stream ended it."""
    decoder = _decoders.get(os.getpid())
    if decoder is None or decoder.poll() is not None:
        if decoder is not None:
            _close(decoder)
        command, pipe = [sys.executable, "-c", _PROGRAM], subprocess.PIPE
        decoder = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        atexit.register(_close, decoder)
        _decoders[os.getpid()] = decoder
    return decoder


def _close(decoder: subprocess.Popen[str]) -> None:
    """End a decoding process; not by the end of its input, which forked processes may hold open."""
    decoder.kill()
    with suppress(BrokenPipeError):  # what it had not read any more
        decoder.communicate()
