"""What a user did wrong, in one line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


class InputError(ValueError):
    """Input that cannot be used; the message names the file, the value found and the fix in one line."""


def guard(step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a workflow step; a user's mistake inside it ends the program with its one line instead of a traceback.

    Args:
        step: callable to run with the other arguments.

    Returns:
        What the step returns.

    Raises:
        SystemExit: the step failed on bad input; the message is the one line. The traceback is logged at DEBUG level.
    """
    try:
        return step(*args, **kwargs)
    except Exception as error:
        cause = root_cause(error)
        if not isinstance(cause, (InputError, OSError)):
            raise
        logger.debug("traceback of the error below", exc_info=error)
        raise SystemExit(f"error: {' '.join(str(cause).split())}") from None


def root_cause(error: BaseException) -> BaseException:
    """Return the first error of a chain: transforms and configurations wrap what they catch."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
