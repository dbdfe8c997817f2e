"""Scores per case and organ, protocol by protocol."""

from .cases import CaseMetrics, collect, evaluate
from .tables import dice_table, summarise

__all__ = ["CaseMetrics", "collect", "dice_table", "evaluate", "summarise"]
