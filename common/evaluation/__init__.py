"""Scores per case and organ, protocol by protocol."""

from .cases import CaseMetrics, evaluate
from .tables import dice_table, summarise

__all__ = ["CaseMetrics", "dice_table", "evaluate", "summarise"]
