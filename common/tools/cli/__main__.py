"""``python -m common.tools.cli`` is ``fewshot``."""

from . import main

main()
