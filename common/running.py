"""What the run list of a configuration calls: check the settings, then build and run one step after the other."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from .errors import guard
from .settings import check_settings


def check() -> None:
    """Check the settings of the configuration that is running; a wrong one ends the program with one line."""
    guard(_check, _running_parser())


def run_step(step: str) -> Any:
    """Build a component of the configuration that is running, and run it; a mistake ends the program with one line.

    Args:
        step: id and method, such as ``train#trainer.run``; without a method the component itself is called.

    Returns:
        What the step returns.
    """
    return guard(_run, _running_parser(), step)


def calling_parser() -> ConfigParser | None:
    """Find the parser that evaluates the expression, or builds the component, that called us; None where none does.

    MONAI gives an expression what it refers to and never the configuration, which is needed whole: to see ids that
    nothing refers to, to build components where their errors are caught, and to say what a training is. So it is looked
    up among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, ConfigParser):
            return owner
        frame = frame.f_back
    return None


def running_bundle() -> Path:
    """Return the folder of the bundle whose ``scripts`` are loaded, wherever ``bundle_root`` sends the results."""
    return Path(str(import_module("scripts").__file__)).parents[1]


def _check(parser: ConfigParser) -> None:
    check_settings(parser, running_bundle() / "configs")
    if parser.get("resume") is not None and parser.get_parsed_content("resume"):
        from .resuming import check_resumable

        check_resumable(Path(parser.get_parsed_content("ckpt_dir")))


def _run(parser: ConfigParser, step: str) -> Any:
    name, _, method = step.partition(".")
    component = parser.get_parsed_content(name)
    return (getattr(component, method) if method else component)()


def _running_parser() -> ConfigParser:
    parser = calling_parser()
    if parser is None:
        raise RuntimeError("belongs in the run list of a configuration")
    return parser
