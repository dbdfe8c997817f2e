"""``fewshot``: each verb builds and runs a bundle's configuration or calls one function of ``common``.

Heavy packages are loaded inside the verbs, so that ``fewshot --help`` answers at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..errors import DEBUG, guard
from . import files, methods, studies


class _Verbs(TyperGroup):
    """Verbs behind which ``--debug`` may stand as well."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move ``--debug`` in front of the verb."""
        others = [part for part in args if part != "--debug"]
        return super().parse_args(ctx, ["--debug"] * (len(others) < len(args)) + others)


def _guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """Let a verb, the loading of packages included, end with one line when something goes wrong."""

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> None:
        guard(verb, *args, **kwargs)

    return run


app = typer.Typer(
    cls=_Verbs, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
_verbs: dict[str, Callable[..., None]] = {
    "train": methods.train,
    "evaluate": methods.evaluate,
    "segment": methods.segment,
    "statistics": methods.statistics,
    "where": methods.where,
    "crossval": studies.crossval,
    "table": studies.table,
    "analyse": studies.analyse_runs,
    "prepare": files.prepare_data,
    "report": studies.report,
    "package": files.package_bundles,
    "freeze": files.freeze_organ,
    "dicom-seg": files.dicom_seg,
}
for _name, _verb in _verbs.items():
    app.command(_name)(_guarded(_verb))
supervoxels_app = typer.Typer(no_args_is_help=True, help="Supervoxels, the pseudo-labels of training.")
supervoxels_app.command("preview")(_guarded(methods.preview))
app.add_typer(supervoxels_app, name="supervoxels")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of what goes wrong.")] = False,
) -> None:
    """Few-shot medical image segmentation bundles."""
    if debug:
        os.environ[DEBUG] = "1"


def main() -> None:
    """Entry point of the console script."""
    app()
