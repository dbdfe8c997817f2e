"""Scores per case and organ, protocol by protocol."""

from .cases import CaseMetrics, evaluate
from .misalignment import measure_misalignment
from .tables import dice_table, summarise
from .thresholds import search_thresholds

__all__ = ["CaseMetrics", "dice_table", "evaluate", "measure_misalignment", "search_thresholds", "summarise"]
