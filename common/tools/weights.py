"""``make weights``: train every bundle's small network on computer-drawn scans, and keep it with the bundle.

One core trains while another draws; both count in one thread, so that the same machine gives the same bits.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..configuration.workflow import bundle_folder, bundle_workflow, label_free_overlays
from ..errors import guard
from ..files.checkpoints import SHIPPED, read_checkpoint
from ..files.hashing import hash_files
from ..files.literals import literal
from ..files.writing import write_state, write_text
from .crossval.published import read_about


def make_weights(bundle: Path, work: Path, target: Path | None = None, **settings: Any) -> Path:
    """Train a bundle's small network on synthetic scans and store it in half precision, with its settings.

    Args:
        bundle: folder of the bundle.
        work: folder of the training.
        target: file to write; None: ``models/synthetic.pt`` of the bundle.
        settings: ids and values of the training, before those that the bundle's ``about.yaml`` has under ``weights``;
            there ``start`` names the bundle whose encoder it begins with.

    Returns:
        The file; ``.sha256`` beside it names its content.
    """
    torch.set_num_threads(1)
    plan = plan_of(bundle)
    if start := plan.pop("start", None):
        settings = {"init": literal(bundle_folder(start) / SHIPPED), **settings}
    settings = {**plan, **settings}
    places = {"ckpt_dir": literal(work), "cache_dir": literal(work / "cache"), "output_dir": literal(work / "curves")}
    bundle_workflow(
        bundle, ["train", *label_free_overlays(bundle), "fast", "cpu", "synthetic"], **places, **settings
    ).run()
    target = target or bundle / SHIPPED
    store_half(work / "model.pt", target)
    return target


def plan_of(bundle: Path) -> dict[str, Any]:
    """Read how a bundle's weights are made; empty where it has none."""
    return dict(read_about(bundle).get("weights", {}))


def store_half(trained: Path, target: Path) -> None:
    """Copy weights in half precision, and their settings.

    Args:
        trained: file of a training.
        target: file to write; its SHA-256 is written beside it.
    """
    state = read_checkpoint(trained)
    for name, value in state.items():
        if value.is_floating_point():
            state[name] = value.half()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_state(target, state)
    write_text(target.with_suffix(".sha256"), f"{hash_files(target).hex()}  {target.name}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``python -m common.tools.weights``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", nargs="+", help="names of bundles; each starts after those whose encoder it takes")
    parser.add_argument("--work", type=Path, default=Path("weights"), help="folder for the trainings")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="of the training, VALUE as JSON")
    chosen = parser.parse_args(arguments)
    settings = {name: json.loads(value) for name, _, value in (text.partition("=") for text in chosen.set)}
    if len(chosen.bundle) > 1:  # each in a process of its own, which holds one package ``scripts``
        planned = {name: plan_of(bundle_folder(name)) for name in chosen.bundle}
        for name in sorted((name for name, plan in planned.items() if plan), key=lambda name: "start" in planned[name]):
            options = [part for text in chosen.set for part in ("--set", text)]
            command = [sys.executable, "-m", "common.tools.weights", name, "--work", str(chosen.work), *options]
            subprocess.run(command, check=True)
        return
    name = chosen.bundle[0]
    start = time.monotonic()
    path = guard(make_weights, bundle_folder(name), chosen.work / name, **settings)
    size = path.stat().st_size / 1e6
    print(f"{name}: {path}, {size:.1f} MB, {(time.monotonic() - start) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
