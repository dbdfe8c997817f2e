"""Write the page: read the results, have pictures drawn, fill the template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .... import __version__
from ....errors import InputError
from ....files.writing import write_text
from ....results.marks import check_output, mark_of, relative
from ..comparison import comparison_tables, dataset_name, places
from ..results import by_entry, read_results
from . import sections
from .gallery import choose_pictures, draw_pictures

_BUILT_IN = "phantom"  # a dataset that needs no folder


def write_report(
    results_dir: Path,
    output: Path | None = None,
    data: Sequence[str] = (),
    bundles: Path = Path("bundles"),
    overwrite: bool = False,
) -> Path:
    """Write one HTML page about all results of a folder; it holds everything it shows and needs no network.

    Overlays and supervoxels are drawn where the scans are known and the runs' weights are below ``work``; otherwise
    the page says what is missing.

    Args:
        results_dir: folder that ``fewshot crossval`` wrote to.
        output: HTML file to write; None: ``report.html`` in that folder.
        data: folder of the scans, or ``DATASET=FOLDER`` for each dataset; the phantom is built in.
        bundles: folder of the bundles.
        overwrite: replace a page that another command or a person made.

    Returns:
        Path of the page.

    Raises:
        InputError: the results cannot be read, or ``data`` names no folder or fits none of their datasets.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    path = output or results_dir / "report.html"
    mark = mark_of("report", relative(results_dir, path))
    check_output(path, mark, overwrite=overwrite)
    results = read_results(results_dir)
    datasets = sorted({result.run.dataset for result in results})
    entries, shown = by_entry(results), list(places(results))
    trained = [entry for entry in entries if not entry[0].run.untrained]
    pictures = [(sections.entry_title(entry[0].run), choose_pictures(entry, results_dir)) for entry in trained]
    every = [picture for _, own in pictures for picture in own]
    draw_pictures(every, results_dir, data_folders(data, datasets), bundles)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("page.html.j2").render(
        title=f"Cross-validation: {results_dir.absolute().name}",
        summary=f"Runs: {len(results)}, on {', '.join(map(dataset_name, datasets))}; read from {results_dir}.",
        version=__version__,
        overview=sections.overview(shown),
        tables=comparison_tables(shown),
        charts=sections.box_plots(shown),
        pictures=pictures,
        missing=sections.missing(every, of_cases=True),
        supervoxels=sections.supervoxels(every),
        without_supervoxels=sections.missing(every, of_cases=False),
        training=sections.training(trained),
        cases=sections.cases(entries),
        runs=sections.runs(results),
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
    folders: dict[str, str | None] = {name: _BUILT_IN if name == _BUILT_IN else None for name in datasets}
    for text in texts:
        name, mark, place = text.partition("=")
        if not mark or name not in folders:
            needing = [name for name in datasets if name != _BUILT_IN] or list(datasets)
            if len(needing) > 1:
                raise InputError(f"--data {text} fits several datasets: write {needing[0]}=FOLDER, ...")
            name, place = needing[0], text
        if not Path(place).is_dir() and place != _BUILT_IN:
            raise InputError(f"--data {text}: there is no folder {place}; datasets of the results are {datasets}")
        folders[name] = place
    return folders
