"""Episodes per second, beside the naive flow; run as ``python -m tests.benchmarks.training BUNDLE STEPS``."""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from torch.utils.flop_counter import FlopCounterMode

from common.configuration.workflow import bundle_workflow, merged_config
from tests.benchmarks.measure import CUDA, peak_bytes, seconds_of_episodes, take_turns

BUNDLES = Path(__file__).parents[2] / "bundles"
ROUNDS = 5 if CUDA else 3
# Configurations, and what is set beside them. The naive flow takes one episode per step, made by the host.
FLOWS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "naive": (["train"], {"batch_size": 1, "train#dataloader#device": "cpu"}),
    "plain": (["train"], {}),
    "fast, one episode": (["train", "fast"], {"batch_size": 1}),
    "fast": (["train", "fast"], {}),
}


def measure(bundle: str, steps: int, rounds: int = ROUNDS, **settings: Any) -> dict[str, Any]:
    """Train all flows in turn for some steps each, on the built-in phantom at the bundle's own size.

    Args:
        bundle: its name.
        steps: of each flow in each round.
        rounds: that count.
        settings: of train.yaml.
    """
    with tempfile.TemporaryDirectory() as folder:
        trainers = {
            name: make_trainer(bundle, configs, steps, folder, **{**settings, **own})
            for name, (configs, own) in FLOWS.items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # schedules are driven further than they were made for
            seconds = take_turns(
                {name: lambda trainer=trainer: train(trainer) for name, trainer in trainers.items()}, rounds
            )
            memory = {name: peak_bytes(lambda t=trainer: train(t)) for name, trainer in trainers.items()}
        loaders = {name: trainer.data_loader for name, trainer in trainers.items()}
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        drawn = seconds_of_episodes(loaders["naive"])
        torch.set_num_threads(threads)
        with FlopCounterMode(display=False) as counter:
            _step(trainers["naive"])
    return {
        "bundle": bundle,
        "episodes_per_step": {name: loader.batch_size for name, loader in loaders.items()},
        "episodes_per_second": {
            name: {key: steps * loaders[name].batch_size / value for key, value in found.items()}
            for name, found in seconds.items()
        },
        "peak_bytes": memory,
        "episode_seconds_one_thread": drawn,
        "operations_per_episode": counter.get_total_flops(),
    }


def make_trainer(bundle: str, configs: list[str], steps: int, folder: str, **settings: Any) -> SupervisedTrainer:
    values = {**merged_config(BUNDLES / bundle, configs), **settings}
    places = {name: f"{folder}/{name}" for name in ("ckpt_dir", "output_dir", "cache_dir")}
    own = {
        "dataset_dir": "phantom",
        "episodes_per_epoch": steps * values["batch_size"],
        "train#handlers": [],
        "num_workers": 1,
    }
    if "init" in values:
        own["init"] = "none"
    torch.manual_seed(0)
    parser = bundle_workflow(BUNDLES / bundle, configs, **{**own, **places, **settings}).parser
    trainer: SupervisedTrainer = parser.get_parsed_content("train#trainer")
    trainer.state.max_epochs = 0
    return trainer


def train(trainer: SupervisedTrainer) -> None:
    """Go on for one epoch."""
    trainer.state.max_epochs += 1
    trainer.run()


def _step(trainer: SupervisedTrainer) -> None:
    """One step outside of the engine, to be counted."""
    batch = next(iter(trainer.data_loader))
    image, label, args, kwargs = trainer.prepare_batch(batch, trainer.state.device, False)
    trainer.network.train()
    trainer.loss_function(trainer.network(image, *args, **kwargs), label).mean().backward()


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
