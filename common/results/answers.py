"""Names of results, decided before any work: no two queries share one, no input and nobody else's file is replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.reading import stem
from ..errors import InputError
from .marks import check_output, mark_of


def name_answers(
    queries: Sequence[Mapping[str, Any]],
    output_dir: str | Path,
    endings: Mapping[str, bool],
    support: Sequence[str] = (),
    settings: Sequence[Any] = (),
    overwrite: bool = False,
) -> list[dict[str, Any]]:
    """Say for each query what its results are called and whether they may be written.

    Args:
        queries: datalist with ``image``.
        output_dir: folder for the results.
        endings: of the results of one query, such as ``_seg.nii.gz``, and whether there will be one; a ``.dcm`` is made
            of DICOM series only.
        support: files and folders of the support.
        settings: beside the files, what makes the command the same as another one.
        overwrite: replace files that another command or a person made.

    Returns:
        The queries with ``answer``, the path of the results without ending, and ``mark``, of the command.

    Raises:
        InputError: the folder cannot be written to; a scan is named twice, or is no series though a DICOM-SEG is asked
            for; a result would replace an input, or a file that this command did not make.
    """
    _check_folder(Path(os.path.abspath(output_dir)))
    images = [str(query["image"]) for query in queries]
    named = []
    written = [ending for ending, wanted in endings.items() if wanted]
    if any(ending.endswith(".dcm") for ending in written):
        from ..data.dicom.seg_writer import check_headers

        for image in images:
            check_headers(image)
    for query, name in zip(queries, names_apart(images), strict=True):
        answer = os.path.join(os.path.abspath(output_dir), name)
        mark = mark_of(Path(query["image"]), [Path(path) for path in support], *settings)
        for ending in written:
            if not ending.endswith(".dcm") or Path(query["image"]).is_dir():
                check_output(answer + ending, mark, [*images, *support], overwrite)
        named.append({**query, "answer": answer, "mark": mark})
    return named


def _check_folder(folder: Path) -> None:
    existing = next(part for part in (folder, *folder.parents) if part.exists())
    if not existing.is_dir():
        raise InputError(f"output_dir {folder}: {existing} is a file; choose another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"output_dir {folder}: {existing} may not be written to; choose another folder")


def names_apart(paths: Sequence[str]) -> list[str]:
    """Name results after their scans, and by what tells their paths apart where scans have one name.

    Args:
        paths: of scans, files or folders of series.

    Returns:
        For each a name without ending: of ``a/scan.nii.gz`` and ``b/scan.nii.gz`` ``a_scan`` and ``b_scan``.

    Raises:
        InputError: a scan is named twice, or no part of their paths tells two apart.
    """
    places = [Path(os.path.abspath(path)) for path in paths]
    twice = next((path for number, path in enumerate(places) if path in places[:number]), None)
    if twice is not None:
        raise InputError(f"{twice}: the scan is named twice; name it once")
    names = [stem(path) for path in places]
    stems = [name.casefold() for name in names]
    for name in set(stems):
        alike = [number for number, other in enumerate(stems) if other == name]
        if len(alike) > 1:
            for number, part in zip(alike, _apart([places[number] for number in alike]), strict=True):
                names[number] = part
    if len({name.casefold() for name in names}) < len(names):
        raise InputError(f"{places[0].parent}: results of several scans would be called {_doubled(names)}; rename one")
    return names


def _apart(paths: Sequence[Path]) -> list[str]:
    """The nearest folder that tells paths apart, else the shortest rows of folders, before each one's name."""
    parents = [path.parent.parts for path in paths]
    depths = range(1, max(map(len, parents)) + 1)
    one_folder = ([parts[-depth : len(parts) - depth + 1] for parts in parents] for depth in depths)
    rows = ([parts[-depth:] for parts in parents] for depth in depths)
    for choice in (*one_folder, *rows):
        names = ["_".join([*parts, stem(path)]) for parts, path in zip(choice, paths, strict=True)]
        if len({name.casefold() for name in names}) == len(names):
            return [name.replace(os.sep, "") for name in names]
    return [path.name.replace(".", "_") for path in paths]  # one folder: the endings differ


def _doubled(names: Sequence[str]) -> str:
    return next(name for name in names if [other.casefold() for other in names].count(name.casefold()) > 1)
