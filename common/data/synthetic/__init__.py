"""Computer-drawn scans of many kinds: what the shipped weights are trained on, and the built-in phantom."""

from .scans import FAMILIES as FAMILIES
from .scans import PHANTOM as PHANTOM
from .scans import SyntheticScan as SyntheticScan
from .scans import draw_scan as draw_scan
from .stream import SyntheticScans as SyntheticScans
