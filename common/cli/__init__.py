"""``fewshot``: each verb builds and runs a bundle's configuration or calls one function of ``common``.

Heavy packages are loaded inside the verbs, so that ``fewshot --help`` answers at once.
"""

from __future__ import annotations

import typer

from . import files, methods, studies

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Few-shot medical image segmentation bundles.",
)
app.command()(methods.train)
app.command()(methods.evaluate)
app.command()(methods.segment)
app.command()(methods.statistics)
app.command()(studies.crossval)
app.command()(studies.table)
app.command("analyse")(studies.analyse_runs)
app.command("prepare")(files.prepare_data)
app.command()(studies.report)
app.command("package")(files.package_bundles)
app.command("freeze")(files.freeze_organ)
app.command("dicom-seg")(files.dicom_seg)
supervoxels_app = typer.Typer(no_args_is_help=True, help="Supervoxels, the pseudo-labels of training.")
supervoxels_app.command()(methods.preview)
app.add_typer(supervoxels_app, name="supervoxels")


def main() -> None:
    """Entry point of the console script."""
    app()
