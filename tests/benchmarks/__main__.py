"""Run the benchmarks, each part in a process of its own: ``python -m tests.benchmarks [PART ...]``, or ``make bench``.

Numbers go to docs/benchmarks/cpu.json or gpu.json, part by part, and from there onto docs/benchmarks.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from common.files.writing import write_json
from common.tools.crossval.published import all_abouts
from tests.benchmarks import floor
from tests.benchmarks.measure import CUDA
from tests.benchmarks.page import page

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = DOCS / "benchmarks" / ("gpu.json" if CUDA else "cpu.json")
BUNDLES = tuple(about["bundle"] for about in all_abouts())
# On a CPU the naive flow of one volume takes minutes: all slices for ADNet only, and few training steps.
DEPTH = {bundle: "36" if CUDA or bundle == "adnet" else "12" for bundle in BUNDLES}
STEPS = "40" if CUDA else "2"
PARTS = {
    **{f"inference {bundle}": ["inference", bundle, DEPTH[bundle]] for bundle in BUNDLES},
    **{f"training {bundle}": ["training", bundle, STEPS] for bundle in BUNDLES},
    "profile": ["profile"],
    "scaling": ["scaling"],
    "supervoxels": ["supervoxels"],
    "startup": ["startup"],
    "viewer": ["viewer"],
}


def main(names: list[str]) -> None:
    """Run parts, all of them where none is named, and write the page."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"no part {unknown[0]}; there are: {', '.join(PARTS)}")
    RESULTS.parent.mkdir(exist_ok=True)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in names or PARTS:
        print(f"{name} ...", flush=True)
        # The floor of the same minutes: machines that are shared change their pace.
        results[name] = {"floor": floor.measure(), "found": _run(PARTS[name])}
        write_json(RESULTS, results)
        (DOCS / "benchmarks.md").write_text(page(DOCS / "benchmarks"))


def _run(part: list[str]) -> Any:
    command = [sys.executable, "-m", f"tests.benchmarks.{part[0]}", *part[1:]]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


if __name__ == "__main__":
    main(sys.argv[1:])
