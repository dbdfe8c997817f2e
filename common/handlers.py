"""Ignite handlers of our own: weights in and out, and saving results in the background."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from .background import in_background
from .calling import calling_parser
from .checkpoints import load_weights, plain_network
from .data.cache import VolumeCache
from .data.fingerprint import fingerprint
from .errors import user_mistake
from .failures import ScanFailures
from .files import write_state
from .resuming import FINAL, TrainingState, is_first
from .training_record import attach_record, make_record

__all__ = ["BackgroundPostprocessing", "BestWeights", "MistakesPass", "TrainingState", "WeightsLoader", "WeightsSaver"]


class MistakesPass:
    """Let a person's mistake, or Ctrl-C, pass an engine without what the engine and ``StatsHandler`` log of it.

    Goes before ``StatsHandler``: of the handlers of an error the first that raises is the last to be called.
    """

    def attach(self, engine: Engine) -> None:
        """Add to a trainer or evaluator."""
        engine.logger.addFilter(_tells_more_than_the_error)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._pass)

    def _pass(self, error: BaseException) -> None:
        if _will_be_told(error):
            raise error


def _tells_more_than_the_error(record: logging.LogRecord) -> bool:
    return not (_will_be_told(sys.exc_info()[1]) and "terminating due to exception" in record.getMessage())


def _will_be_told(error: BaseException | None) -> bool:
    return isinstance(error, KeyboardInterrupt | SystemExit) or user_mistake(error) is not None


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
        dataset: of the training, whose scans are described in the settings, see ``fingerprint``.
    """

    def __init__(
        self, save_dir: str, network: nn.Module, interval: int = 0, dataset: VolumeCache | None = None
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
        if self.record is not None and self.dataset is not None and self.dataset.data and is_first():
            self.record["fingerprint"] = fingerprint([item["image"] for item in self.dataset.data])

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


class BackgroundPostprocessing:
    """Postprocess each item in the background while the evaluator goes on with the next one; results follow in order.

    Goes into the evaluator twice: as ``postprocessing``, which takes items and returns them as they are, and as a
    handler, which waits for the last one. What a transform raises comes up with the next item or at the end, unless it
    is the failure of a single scan.

    Args:
        transforms: what to do with an item; its return value is not used.
        failures: takes the failures of single scans.
    """

    def __init__(self, transforms: Callable[[Any], Any], failures: ScanFailures | None = None) -> None:
        self.transforms = transforms
        self.failures = failures
        self._running: Future[Any] | None = None

    def __call__(self, item: Any) -> Any:
        """Start on an item once the one before is done."""
        self.wait()
        self._running = in_background(self._transform, item)
        return item

    def _transform(self, item: Any) -> None:
        try:
            self.transforms(item)
        except Exception as error:
            if self.failures is None:
                raise
            self.failures.take(item.get("answer", "scan"), error)

    def wait(self) -> None:
        """Wait until nothing is left to do."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def attach(self, engine: Engine) -> None:
        """Add to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self.wait)


def _running_record() -> dict[str, Any] | None:
    parser = calling_parser()
    return None if parser is None else make_record(parser)


def _write_weights(network: nn.Module, path: Path, record: Mapping[str, Any] | None) -> None:
    if is_first():
        state = plain_network(network).state_dict()
        if record is not None:
            attach_record(state, record)
        write_state(path, state)
