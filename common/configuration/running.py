"""What the run list of a configuration calls: check the settings, then build and run one step after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from ..calling import calling_parser, running_bundle
from ..errors import guard
from ..handlers.resuming import check_resumable
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


def _check(parser: ConfigParser) -> None:
    check_settings(parser, running_bundle() / "configs")
    if parser.get("resume") is not None and parser.get_parsed_content("resume"):
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
