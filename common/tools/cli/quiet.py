"""Our own lines and progress bars on the screen; what other libraries say with ``--verbose`` only."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

_quiet = False


def keep_quiet() -> None:
    """Silence warnings of other libraries, also in the processes that a verb starts, before they are loaded."""
    global _quiet
    _quiet = True
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    warnings.filterwarnings("ignore")


def workflow(*args: Any, **kwargs: Any) -> Any:
    """Build a bundle's workflow as ``bundle_workflow`` does; its log then keeps to our lines, if asked to."""
    from monai.bundle import workflows

    from ...configuration.workflow import bundle_workflow

    if _quiet:
        workflows.logger.setLevel(logging.WARNING)
    built = bundle_workflow(*args, **kwargs)
    if _quiet:
        for handler in logging.getLogger().handlers:
            handler.addFilter(lambda record: record.levelno >= logging.ERROR or record.name.startswith("common."))
    return built
