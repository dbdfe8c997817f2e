"""What a user did wrong, in one line."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)


def _client_errors() -> tuple[type, ...]:
    """What a web server answers with its own message instead of "internal error"; nothing outside of a server."""
    module = sys.modules.get("starlette.exceptions") if in_server() else None
    return () if module is None else (module.HTTPException,)


def in_server() -> bool:
    """Tell whether this process belongs to a MONAI Label server."""
    return "monailabel" in sys.modules


class InputError(ValueError, *_client_errors()):  # type: ignore[misc]
    """Input that cannot be used; the message names the file, the value found and the fix in one line.

    In a MONAI Label server the client gets it as an answer with status 400.
    """

    status_code = 400
    headers = None
    __str__ = ValueError.__str__  # the server's own puts the status in front

    @property
    def detail(self) -> str:
        """The message as a server's client may see it: one line, files without their folders."""
        return without_folders(one_line(self))


def without_folders(message: str) -> str:
    """Cut the folders from the absolute paths of a message, so that it says nothing of how a disk is laid out."""
    pieces, rest = [], message
    while (start := re.search(r"(?<![\w:/])/(?=\S)", rest)) is not None:
        path = rest[start.start() :]
        # The names of a folder that exists may hold blanks; of others what looks like a path is cut.
        ends = [slash.start() for slash in re.finditer("/", path) if os.path.isdir(path[: slash.start()])]
        plain = re.match(r"(/[^\s/:;,'\"]+)*(?=/)", path)
        pieces.append(rest[: start.start()])
        rest = path[max([*ends, plain.end() if plain else 0]) + 1 :]
    return "".join([*pieces, rest])


def guard(step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a workflow step; a user's mistake inside it ends the program with its one line instead of a traceback.

    Args:
        step: callable to run with the other arguments.

    Returns:
        What the step returns.

    Raises:
        SystemExit: the step failed on bad input; the message is the one line. The traceback is logged at DEBUG level.
        InputError: the same in a server, which must not end.
    """
    try:
        return step(*args, **kwargs)
    except Exception as error:
        mistake = user_mistake(error)
        if mistake is None:
            raise
        if in_server():
            raise InputError(one_line(mistake)) from error
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
