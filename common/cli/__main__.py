"""``python -m common.cli`` is ``fewshot``."""

from . import main

main()
