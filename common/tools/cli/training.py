"""The verb ``train``: a run folder of its own, settings chosen by the machine, and what to do next."""

from __future__ import annotations

import logging
import shlex
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import InputError
from .options import (
    DEFAULT_BUNDLE,
    Bundle,
    Channel,
    Data,
    Device,
    Outside,
    Overlays,
    Overrides,
    dataset_settings,
    given,
    read_overrides,
    split_names,
)

_RUNS = Path("runs")
_FULL = "a GPU is there: the paper's network and length; --config quick takes minutes"
_SMALL = (
    "no GPU: a small network from the weights that come with the bundle, overlays fast, cpu and from_synthetic; "
    "--config chooses others: fast,cpu trains for longer from random weights"
)
_SMALL_RANDOM = "no GPU: a small network from random weights, overlays fast and cpu; --config chooses others"


def train(
    bundle: Bundle = DEFAULT_BUNDLE,
    data: Data = "phantom",
    output_dir: Annotated[Path | None, typer.Option(help="Run folder; default: runs/BUNDLE-DATE.")] = None,
    config: Overlays = "",
    fold: Annotated[str | None, typer.Option(help="0 to 4, kept out of training; none: train on all scans.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of weights and episodes.")] = None,
    device: Device = None,
    override: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue in --output-dir, or in the newest run folder.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew although --output-dir holds a training.")
    ] = False,
    channel: Channel = None,
    allow_outside: Outside = False,
) -> None:
    """Train without labels on your own scans."""
    import yaml

    from ...configuration.workflow import bundle_folder
    from ...files.writing import write_text
    from ...handlers.resuming import FINAL, make_folder
    from .quiet import workflow

    folder = bundle_folder(bundle)
    run = _run_folder(folder.name, output_dir, resume)
    names = split_names(config)
    if not names:
        names = machine_overlays(device, folder)
        print(_FULL if not names else _SMALL if "from_synthetic" in names else _SMALL_RANDOM, flush=True)
    settings: dict[str, Any] = {**dataset_settings(data, channel, allow_outside), "resume": resume, "restart": restart}
    settings |= given(ckpt_dir=run, output_dir=run / "curves", cache_dir=run.parent / "cache", estimate=True)
    settings |= {**read_overrides(override or []), **given(seed=seed, device=device)}
    if fold is not None:
        if fold not in ("0", "1", "2", "3", "4", "none"):
            raise InputError(f"--fold is {fold!r}; it takes 0 to 4, or none")
        settings["fold"] = None if fold == "none" else int(fold)
    built = workflow(folder, ["train", *names], "train", **settings)
    make_folder(run, "--output-dir")
    content = {key: value for key, value in built.parser.get().items() if key != "_meta_"}
    write_text(run / "settings.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    handler = logging.FileHandler(run / "training.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    print(f"run folder: {run}; prepared scans are kept in {run.parent / 'cache'}, safe to delete", flush=True)
    built.run()
    command = ["fewshot", "segment", "--bundle", str(bundle), "--checkpoint", str(run / FINAL)]
    print(f"model: {run / FINAL}; use it, with your own scans, by\n  {shlex.join(command)} \\")
    print("    --support-image SCAN --support-label ITS_LABEL_MAP --image NEW_SCAN --output-dir FOLDER --preview")


def _run_folder(bundle: str, output_dir: Path | None, resume: bool) -> Path:
    if output_dir is not None:
        return output_dir.absolute()
    if not resume:
        return (_RUNS / f"{bundle}-{datetime.now():%Y%m%d-%H%M%S}").absolute()
    found = sorted(path for path in _RUNS.glob(f"{bundle}-*") if path.is_dir())
    if not found:
        raise InputError(f"--resume: there is no {_RUNS / bundle}-* here; name the run folder, --output-dir")
    return found[-1].absolute()


def machine_overlays(device: str | None, bundle: Path) -> list[str]:
    """Choose the small network where no GPU computes, from the weights that come with the bundle, if there are any.

    Args:
        device: that was asked for; None: a GPU where there is one.
        bundle: folder of the bundle.
    """
    import torch

    from ...files.checkpoints import SHIPPED

    if device != "cpu" and torch.cuda.is_available():
        return []
    return ["fast", "cpu", *(["from_synthetic"] if (bundle / SHIPPED).is_file() else [])]
