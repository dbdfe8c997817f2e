"""Weights in and out: filled in before a run, written when a training has come to its end."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from ..calling import calling_parser
from ..data.cache import VolumeCache
from ..data.synthetic import SyntheticScans
from ..files.checkpoints import load_weights, plain_network
from ..files.record import attach_record, make_record
from ..files.writing import write_state
from ..speed.ranks import is_first
from .resuming import FINAL


class WeightsLoader:
    """Fill a network from a checkpoint before the first run of an engine.

    Args:
        load_path: file of weights, see ``read_weights``.
        network: filled in place.
    """

    def __init__(self, load_path: str, network: nn.Module) -> None:
        self.load_path = load_path
        self.network = network
        self._loaded = False

    def attach(self, engine: Engine) -> None:
        """Load when the engine starts; it then raises ``InputError`` where the file does not fit."""
        engine.add_event_handler(Events.STARTED, self._load)

    def _load(self) -> None:
        if not self._loaded:
            load_weights(self.network, self.load_path)
            self._loaded = True


class WeightsSaver:
    """Write ``model.pt`` when a training has come to its end, and only then, and if asked one file now and then.

    Built by a configuration, it stores the settings of the training with the weights, see ``make_record``.

    Args:
        save_dir: folder.
        network: whose weights are written, as a plain mapping of names and tensors.
        interval: epochs between files ``model_epoch=*.pt``; 0 for none.
        dataset: of the training, whose ``fingerprint()`` is stored with the settings.
    """

    def __init__(
        self, save_dir: str, network: nn.Module, interval: int = 0, dataset: VolumeCache | SyntheticScans | None = None
    ) -> None:
        self.save_dir = Path(save_dir)
        self.network = network
        self.interval = interval
        self.dataset = dataset
        self.record = _running_record()

    def attach(self, engine: Engine) -> None:
        """Add to a trainer."""
        engine.add_event_handler(Events.STARTED, self._describe_scans)
        engine.add_event_handler(Events.COMPLETED, lambda: self._write(FINAL))
        if self.interval > 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self._keep)

    def _describe_scans(self) -> None:
        if self.record is not None and self.dataset is not None and is_first():
            self.record["fingerprint"] = self.dataset.fingerprint()

    def _keep(self, engine: Engine) -> None:
        self._write(f"model_epoch={engine.state.epoch}.pt")

    def _write(self, name: str) -> None:
        _write_weights(self.network, self.save_dir / name, self.record)


class BestWeights:
    """Write the weights of the validation with the highest key metric so far.

    Args:
        save_dir: folder.
        network: whose weights are written.
        filename: of the file.
    """

    def __init__(self, save_dir: str, network: nn.Module, filename: str = "model_best.pt") -> None:
        self.path = Path(save_dir) / filename
        self.network = network
        self.record = _running_record()
        self._best = -math.inf

    def attach(self, engine: Engine) -> None:
        """Add to an evaluator with a key metric."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._compare)

    def _compare(self, engine: Engine) -> None:
        state: Any = engine.state
        score = float(state.metrics[state.key_metric_name])
        if score > self._best:
            self._best = score
            _write_weights(self.network, self.path, self.record)


def _running_record() -> dict[str, Any] | None:
    parser = calling_parser()
    return None if parser is None else make_record(parser)


def _write_weights(network: nn.Module, path: Path, record: Mapping[str, Any] | None) -> None:
    if is_first():
        state = plain_network(network).state_dict()
        if record is not None:
            attach_record(state, record)
        write_state(path, state)
