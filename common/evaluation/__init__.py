"""Scores per case and organ, protocol by protocol."""

from .averages import dice_table, summarise
from .cases import CaseMetrics, collect, evaluate

__all__ = ["CaseMetrics", "collect", "dice_table", "evaluate", "summarise"]
