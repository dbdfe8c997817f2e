"""What makes training and inference fast: number formats, order in memory, one compiled step, threads and processes."""

from .ahead import ReadAheadDataset
from .update import FastUpdate

__all__ = ["FastUpdate", "ReadAheadDataset"]
