"""Seconds until something runs, of whole processes; ``python -m tests.benchmarks.startup``."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.benchmarks.measure import take_turns

NOTHING = ["run", "nothing", "--config_file", "bundles/adnet/configs/train.yaml", "--nothing", "[]"]
COMMANDS = {
    "import torch": ["-c", "import torch"],
    "import monai": ["-c", "import monai"],
    "import common": ["-c", "import common"],
    "fewshot --help": ["-m", "common.tools.cli", "--help"],
    "import monai.bundle": ["-c", "import monai.bundle"],
    "monai.bundle run, nothing to do": ["-m", "monai.bundle", *NOTHING],
}


def measure() -> dict[str, Any]:
    """Medians of five, in turns."""

    def start(arguments: list[str]) -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    return take_turns({name: lambda a=arguments: start(a) for name, arguments in COMMANDS.items()}, rounds=5)


if __name__ == "__main__":
    print(json.dumps(measure()))
