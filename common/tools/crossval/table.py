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
    """Rows of cells under a header; a row whose first cell is indented continues the one above.

    Attributes:
        title: one line.
        header: names of the columns.
        rows: as many cells each.
        notes: sentences below the table.
    """

    title: str
    header: Sequence[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def render(tables: Sequence[Table], form: str) -> str:
    """Write tables one below the other.

    Args:
        tables: in their order.
        form: ``text``, ``markdown`` or ``latex`` (for a document with booktabs).

    Raises:
        InputError: another form.
    """
    if form not in _FORMATS:
        raise InputError(f"format is {', '.join(_FORMATS)} or csv, got {form}")
    return "\n\n".join(_written(table, form) for table in tables) + "\n"


def _written(table: Table, form: str) -> str:
    rows = [[cell.translate(_MARKDOWN) for cell in row] for row in table.rows] if form == "markdown" else table.rows
    sides = ["left", *["right"] * (len(table.header) - 1)]
    text = tabulate(
        rows, table.header, _FORMATS[form], disable_numparse=True, colalign=sides, preserve_whitespace=form == "text"
    )
    title, notes = table.title, table.notes
    if form == "markdown":
        title, notes = f"### {title.translate(_MARKDOWN)}", [note.translate(_MARKDOWN) for note in notes]
    if form == "latex":
        text = re.sub(r"& *(-[\d.]+) ", r"& $\1$ ", text)  # a minus, no hyphen
        title = rf"\caption{{{title.translate(_LATEX)}}}"
        notes = [note.translate(_LATEX) for note in notes]
        return "\n".join([r"\begin{table}", r"\centering", title, text, *notes, r"\end{table}"])
    return "\n\n".join([title, text, *notes])
