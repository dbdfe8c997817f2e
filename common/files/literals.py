"""Values, paths above all, that reach a configuration as they are.

MONAI's parser evaluates a text that begins with ``$``, follows ``@id``, replaces what begins with ``%`` by another part
of the configuration, and writes ``::`` for every ``#``. Fire, which reads the runner's command line, makes a tuple of
``a,b`` and a number of ``12``. A literal passes through both: it is an expression whose value is the text.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def literal(value: Any) -> str:
    """Write a value so that a configuration, a command line of ``monai.bundle run`` too, gets exactly this value.

    Args:
        value: None, text, a path (it becomes text), a number, or a list or dictionary of these.

    Returns:
        Expression for MONAI's parser.
    """
    text = ascii(_plain(value))
    for mark in "@#%":
        text = text.replace(mark, f"\\x{ord(mark):02x}")
    return f"${text}"


def split_paths(value: Any) -> list[str]:
    """Turn None, one path, paths separated by commas or a list of paths into a list.

    A path of a file or folder that exists is one path, whatever signs it holds; commas separate elsewhere.
    """
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return [as_named(part) for part in value]
    whole = as_named(value)
    if exists(whole) or "," not in whole:
        return [whole]
    parts, paths = whole.split(","), []
    while parts:
        joined = [",".join(parts[:end]).strip() for end in range(1, len(parts) + 1)]
        number = max((end for end, path in enumerate(joined, 1) if path and exists(as_named(path))), default=1)
        paths.append(as_named(joined[number - 1]))
        parts = parts[number:]
    return [path for path in paths if path] or [whole]


def as_named(path: Any) -> str:
    """Give a path as the person wrote it: MONAI's runner has made ``::`` of a ``#``."""
    text = str(path)
    written = text.replace("::", "#")
    return written if "::" in text and not exists(text) and exists(written) else text


def exists(path: str) -> bool:
    """Tell whether there is a file or folder of that name; a text that cannot name one is no error."""
    return os.path.exists(os.path.expanduser(path))


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return value
