"""``fewshot``: each verb builds and runs a bundle's configuration or calls one function of ``common``.

Heavy packages are loaded inside the verbs, so that ``fewshot --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ...errors import DEBUG, guard
from . import doctor, experiments, files, methods, training, viewing
from .quiet import keep_quiet

_GENERAL = ("--debug", "--verbose", "--quiet")
_supervoxels = typer.Typer(no_args_is_help=True, help="Supervoxels, the pseudo-labels of training.")
_GROUPS: dict[str, dict[str, Any]] = {
    "Segment": {
        "segment": methods.segment,
        "open": viewing.open_scans,
        "freeze": files.freeze_organ,
        "dicom-seg": files.dicom_seg,
    },
    "Train": {
        "train": training.train,
        "doctor": doctor.doctor,
        "supervoxels": _supervoxels,
        "statistics": methods.statistics,
        "prepare": files.prepare_data,
    },
    "Experiment": {
        "evaluate": methods.evaluate,
        "crossval": experiments.crossval,
        "table": experiments.table,
        "analyse": experiments.analyse_runs,
        "report": experiments.report,
    },
    "Ship": {"package": files.package_bundles, "where": methods.where, "new-method": files.start_method},
}


class _Verbs(TyperGroup):
    """Verbs in groups, behind which the general options may stand as well."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Move the general options in front of the verb."""
        general = [part for part in dict.fromkeys(args) if part in _GENERAL]
        return super().parse_args(ctx, general + [part for part in args if part not in _GENERAL])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the verbs by what a person wants."""
        for title, names in _GROUPS.items():
            with formatter.section(title):
                found = [(name, self.get_command(ctx, name)) for name in names]
                formatter.write_dl([(name, command.get_short_help_str(90)) for name, command in found if command])


def _guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """Let a verb, the loading of packages included, end with one line when something goes wrong."""

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> None:
        guard(verb, *args, **kwargs)

    return run


app = typer.Typer(
    cls=_Verbs, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
for _name, _verb in [pair for verbs in _GROUPS.values() for pair in verbs.items()]:
    if isinstance(_verb, typer.Typer):
        app.add_typer(_verb, name=_name)
    else:
        app.command(_name)(_guarded(_verb))
_supervoxels.command("preview")(_guarded(methods.preview))


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of what goes wrong.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show what other libraries log and warn of.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress bars.")] = False,
) -> None:
    """Few-shot medical image segmentation bundles."""
    if debug:
        os.environ[DEBUG] = "1"
    if quiet:
        os.environ["TQDM_DISABLE"] = "1"  # also of the processes that a verb starts


def main() -> None:
    """Entry point of the console script."""
    if "--verbose" not in sys.argv:  # before anything is loaded
        keep_quiet()
    app()
