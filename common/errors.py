"""What went wrong, in one line."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from .stopping import Terminated, end_processes, ignore_signals, leave, stoppable

DEBUG = "FEWSHOT_DEBUG"  # environment variable: 1 prints tracebacks


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
    """Run a step; what goes wrong inside it ends the program with one line instead of a traceback.

    ``FEWSHOT_DEBUG=1`` in the environment, or ``fewshot --debug``, prints the traceback too.

    Args:
        step: callable to run with the other arguments.

    Returns:
        What the step returns.

    Raises:
        SystemExit: the step failed: status 1 and the line as message; or Ctrl-C (status 130) or SIGTERM (status 143)
            ended it, and all processes that it had started.
        InputError: the step failed on bad input in a server, which must not end.
    """
    try:
        with stoppable():
            try:
                return step(*args, **kwargs)
            except KeyboardInterrupt as stop:
                if in_server():
                    raise
                _stop(stop)
    except Exception as error:
        mistake = user_mistake(error)
        if in_server():
            if mistake is None:
                raise
            raise InputError(one_line(mistake)) from error
        if os.environ.get(DEBUG, "") not in ("", "0"):
            traceback.print_exception(error)
        raise SystemExit(_internal(error) if mistake is None else f"error: {one_line(mistake)}") from error


def _stop(stop: KeyboardInterrupt) -> NoReturn:
    ignore_signals()  # of a second one Python would make a traceback
    end_processes()
    name, status = ("SIGTERM", 143) if isinstance(stop, Terminated) else ("Ctrl-C", 130)
    print(f"stopped by {name}", file=sys.stderr, flush=True)
    leave(status)
    raise SystemExit(status) from stop


def user_mistake(error: BaseException | None) -> Exception | None:
    """Return the outermost error of a chain that a user can mend; transforms and configurations wrap errors."""
    while error is not None:
        if isinstance(error, InputError | OSError):
            return error
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return InputError(f"out of memory ({one_line(error)[:200]}): take fewer or smaller scans at a time")
        error = error.__cause__
    return None


def root_cause(error: BaseException) -> BaseException:
    """Return the error that a chain of errors began with."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def one_line(error: BaseException) -> str:
    """Return an error's message with line breaks and runs of blanks folded; a bare missing file gets its fix."""
    if isinstance(error, FileNotFoundError) and error.filename is not None:
        hint = ", and for a checkpoint train first" if str(error.filename).endswith(".pt") else ""
        return f"no file {error.filename}; check the path{hint}"
    return " ".join(str(error).split())


def _internal(error: BaseException) -> str:
    root = root_cause(error)
    return (
        f"internal error: {type(root).__name__}: {one_line(root)[:500]}; "
        f"for the traceback run again with --debug, or with {DEBUG}=1 in the environment"
    )
