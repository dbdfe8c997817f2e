"""One table as plain text, Markdown or LaTeX, as tabulate writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from tabulate import tabulate

from ...errors import InputError

_FORMATS = {"text": "plain", "markdown": "github", "latex": "latex_booktabs"}
_MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\|*<`"})
_LATEX = str.maketrans({character: f"\\{character}" for character in "%#_&"} | {"<": "$<$"})


@dataclass
class Table:
    """Rows of cells under a header, and sentences below; a row whose first cell is indented continues the one above."""

    title: str
    header: Sequence[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def render(tables: Sequence[Table], form: str) -> str:
    """Write tables one below the other as ``text``, ``markdown`` or ``latex`` (for a document with booktabs).

    Raises:
        InputError: another form.
    """
    if form not in _FORMATS:
        raise InputError(f"format is {', '.join(_FORMATS)} or csv, got {form}")
    return "\n\n".join(_written(table, form) for table in tables) + "\n"


def _written(table: Table, form: str) -> str:
    escapes = _MARKDOWN if form == "markdown" else _LATEX if form == "latex" else {}
    title, *notes = (text.translate(escapes) for text in (table.title, *table.notes))
    rows = [[cell.translate(_MARKDOWN) for cell in row] for row in table.rows] if form == "markdown" else table.rows
    sides = ["left", *["right"] * (len(table.header) - 1)]
    text = tabulate(
        rows, table.header, _FORMATS[form], disable_numparse=True, colalign=sides, preserve_whitespace=form == "text"
    )
    if form == "latex":
        text = re.sub(r"& *(-[\d.]+) ", r"& $\1$ ", text)  # a minus, no hyphen
        parts = [r"\begin{table}", r"\centering", rf"\caption{{{title}}}", text, *notes, r"\end{table}"]
        return "\n".join(parts)
    return "\n\n".join([f"### {title}" if form == "markdown" else title, text, *notes])
