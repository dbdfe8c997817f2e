"""One self-contained HTML page about a folder of cross-validation results."""

from .report import write_report

__all__ = ["write_report"]
