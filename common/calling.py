"""Who called us: the configuration that is being run, and the bundle that it belongs to."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path

from monai.bundle import ConfigParser


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
