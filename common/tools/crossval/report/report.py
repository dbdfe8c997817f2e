"""Write the page: read the results, have pictures drawn, fill the template."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from .... import __version__
from ....errors import InputError
from ....files import write_text
from ....records import check_output, mark_of, relative
from ..comparison import comparison_tables, dataset_name
from ..results import by_entry, read_results
from . import sections
from .gallery import draw_gallery

_BUILT_IN = {"phantom": "phantom"}  # datasets that need no folder


def write_report(
    results_dir: str | Path,
    output: str | Path | None = None,
    data: str | Sequence[str] | None = None,
    bundles: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write one HTML page about all results of a folder; it holds everything it shows and needs no network.

    Overlays and supervoxels are drawn where the scans are known and the runs' weights are below ``work``; otherwise
    the page says what is missing.

    Args:
        results_dir: folder that ``fewshot crossval`` wrote to.
        output: HTML file to write; None: ``report.html`` in that folder.
        data: folder of the scans, or ``DATASET=FOLDER`` for each dataset; the phantom is built in.
        bundles: folder of the bundles; None: ``bundles``.
        overwrite: replace a page that another command or a person made.

    Returns:
        Path of the page.

    Raises:
        InputError: the results cannot be read, or ``data`` names no folder or fits none of their datasets.
    """
    folder = Path(results_dir)
    path = Path(output) if output is not None else folder / "report.html"
    mark = mark_of("report", relative(folder, path))
    check_output(path, mark, overwrite=overwrite)
    results = read_results(folder)
    datasets = sorted({result.run.dataset for result in results})
    folders = data_folders([data] if isinstance(data, str) else data or [], datasets)
    gallery = draw_gallery(results, folder, folders, Path(bundles or "bundles"))
    entries = list(by_entry(results).values())
    pictures, missing = sections.overlays(entries, folder, gallery)
    supervoxels, without = sections.supervoxels(entries, folder, gallery)
    page = _template().render(
        style=_text("page.css"),
        script=_text("page.js"),
        title=f"Cross-validation: {folder.absolute().name}",
        summary=f"Runs: {len(results)}, on {', '.join(map(dataset_name, datasets))}; read from {folder}.",
        version=__version__,
        overview=sections.overview(results),
        tables=comparison_tables(results),
        charts=sections.box_plots(results),
        pictures=pictures,
        missing=missing,
        supervoxels=supervoxels,
        without_supervoxels=without,
        training=sections.training(entries),
        cases=sections.cases(entries),
        runs=sections.manifest(results),
    )
    write_text(path, f"{page}<!-- {mark} -->\n")
    return path


def data_folders(texts: Sequence[str], datasets: Sequence[str]) -> dict[str, str | None]:
    """Assign dataset folders: ``FOLDER`` to the only dataset that needs one, ``DATASET=FOLDER`` to the one named.

    Args:
        texts: as given on the command line.
        datasets: names in the results.

    Raises:
        InputError: a folder does not exist, or it is unclear whose it is.
    """
    folders: dict[str, str | None] = {name: _BUILT_IN.get(name) for name in datasets}
    for text in texts:
        name, mark, place = text.partition("=")
        if not mark or name not in folders:
            needing = [name for name in datasets if name not in _BUILT_IN] or list(datasets)
            if len(needing) > 1:
                raise InputError(f"--data {text} fits several datasets: write {needing[0]}=FOLDER, ...")
            name, place = needing[0], text
        if not Path(place).is_dir() and place not in _BUILT_IN.values():
            raise InputError(f"--data {text}: there is no folder {place}; datasets of the results are {datasets}")
        folders[name] = place
    return folders


def _template():  # type: ignore[no-untyped-def]
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_text("page.html.j2"))


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
