"""One table as plain text, Markdown or LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...errors import InputError

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "<": r"$<$", ">": r"$>$",
}  # fmt: skip
_MARKDOWN = {"\\": "\\\\", "|": r"\|", "*": r"\*", "<": "&lt;", "`": r"\`"}


@dataclass
class Grid:
    """A table: rows of cells under a header; a row whose first cell is empty or indented continues the one above.

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


def render(grids: Sequence[Grid], form: str) -> str:
    """Write tables one below the other.

    Args:
        grids: the tables.
        form: ``text``, ``markdown`` or ``latex`` (for a document with booktabs).

    Raises:
        InputError: another form.
    """
    forms: dict[str, Callable[[Grid], str]] = {"text": as_text, "markdown": as_markdown, "latex": as_latex}
    if form not in forms:
        raise InputError(f"format is {', '.join(forms)} or csv, got {form}")
    return "\n\n".join(forms[form](grid) for grid in grids) + "\n"


def as_text(grid: Grid) -> str:
    """Align the columns with blanks: the first to the left, the others to the right."""
    rows = [list(grid.header), *grid.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        aligned = [cell.strip().rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first, *aligned]).rstrip())
    return "\n".join([grid.title, "", *lines, *([""] if grid.notes else []), *grid.notes])


def as_markdown(grid: Grid) -> str:
    """Write a heading of the third level, the table and its notes."""
    body = [[_escape(cell, _MARKDOWN) for cell in row] for row in grid.rows]
    rows = [list(grid.header), ["---"] * len(grid.header), *body]
    lines = ["| " + " | ".join(cell.strip() for cell in row) + " |" for row in rows]
    notes = [part for note in grid.notes for part in ("", _escape(note, _MARKDOWN))]
    return "\n".join([f"### {_escape(grid.title, _MARKDOWN)}", "", *lines, *notes])


def as_latex(grid: Grid) -> str:
    """Write a ``table`` environment with booktabs' rules, one above each row that continues none."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escape(grid.title, _LATEX)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
        r"\toprule",
        _latex_row(grid.header),
    ]
    for row in grid.rows:
        lines += [r"\midrule"] * (not row[0].startswith(" ") and row[0] != "") + [_latex_row(row)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip {_escape(note, _LATEX)}" for note in grid.notes]
    return "\n".join([*lines, r"\end{table}"])


def _latex_row(cells: Sequence[str]) -> str:
    escaped = [_escape(cell.strip(), _LATEX) for cell in cells]
    indent = r"\quad " if cells[0].startswith(" ") else ""
    return indent + " & ".join(rf"${cell}$" if _is_negative(cell) else cell for cell in escaped) + r" \\"


def _is_negative(cell: str) -> bool:
    return cell.startswith("-") and cell[1:2].isdigit() and " " not in cell


def _escape(text: str, table: dict[str, str]) -> str:
    return "".join(table.get(character, character) for character in text)
