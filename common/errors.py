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
        mistake = user_mistake(error)
        if mistake is None:
            raise
        logger.debug("traceback of the error below", exc_info=error)
        raise SystemExit(f"error: {one_line(mistake)}") from None


def user_mistake(error: BaseException | None) -> InputError | OSError | None:
    """Return the outermost error of a chain that a user can mend; transforms and configurations wrap errors."""
    while error is not None and not isinstance(error, (InputError, OSError)):
        error = error.__cause__
    return error


def one_line(error: BaseException) -> str:
    """Return an error's message with line breaks and runs of blanks folded; a bare missing file gets its fix."""
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        return f"no file {error.filename}; check the path, and for a checkpoint train first"
    return " ".join(str(error).split())
