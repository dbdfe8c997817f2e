"""The way of prepared scans to the output: they wait beside it, and all take its place in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ...errors import InputError
from ...files.exchange import put_back
from ...files.locks import lock_path
from ...files.writing import whole_folder
from .write import FOLDERS


@contextmanager
def staging_folder(output: Path) -> Iterator[Path]:
    """Give the folder beside the output where finished scans wait for the others, to one process at a time.

    What an ended run has left there stays for the next one, but for files that it was writing.

    Args:
        output: folder of the dataset.

    Raises:
        InputError: another process prepares this output.
    """
    folder = output.with_name(f".{output.name}-preparing")
    lock = _locked(folder, output)
    try:
        put_back(output)
        for path in [path for path in folder.rglob(".*") if path.is_file()]:
            path.unlink()
        yield folder
    finally:
        with suppress(OSError):  # not empty: the next run goes on from there
            folder.rmdir()
        os.close(lock)


def publish(staging: Path, output: Path, subjects: Sequence[str], describe: Callable[[Path], int]) -> int:
    """Put the output's successor in its place in one step: what is there, and the scans that wait.

    Nothing is moved, files get a second name in the new folder, so that a run that ends on the way loses nothing.

    Args:
        staging: where the scans wait; emptied in the end.
        output: folder of the dataset.
        subjects: names of the scans that wait.
        describe: writes ``dataset.json`` into a folder and returns the number of folds.

    Returns:
        The number of folds.

    Raises:
        WriteError: the disk is full or cannot be written to; the output is as it was.
    """
    with whole_folder(output) as new:
        if output.is_dir():
            shutil.copytree(output, new, symlinks=True, copy_function=_link, dirs_exist_ok=True)
        for part in FOLDERS.values():
            (new / part).mkdir(exist_ok=True)
            for subject in subjects:
                name = Path(part) / f"{subject}.nii.gz"
                if (staging / name).is_file():
                    _link(staging / name, new / name)
                else:  # an older label map does not stay
                    (new / name).unlink(missing_ok=True)
        folds = describe(new)
    shutil.rmtree(staging, ignore_errors=True)
    return folds


def _locked(folder: Path, output: Path) -> int:
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return lock_path(folder)
        except FileNotFoundError:  # the process before has removed it meanwhile
            continue
        except BlockingIOError:
            raise InputError(f"{output}: another process is preparing it; wait for its end") from None


def _link(source: str | Path, target: str | Path) -> None:
    """Give a file a second name, which replaces another; where the disk has no such names, copy it."""
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
