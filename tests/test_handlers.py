"""Weights written and loaded by engines, and saving results in the background."""

import math
import threading

import pytest
import torch
from ignite.engine import Engine, Events

from common.errors import InputError
from common.handlers.postprocessing import BackgroundPostprocessing
from common.handlers.weights import BestWeights, WeightsLoader, WeightsSaver


def test_weights_are_written_when_the_training_came_to_its_end_and_only_then(tmp_path):
    module = torch.nn.Linear(1, 1)
    (tmp_path / "model.pt").write_bytes(b"good")

    def step(engine, _):
        if engine.state.iteration == 3:
            raise RuntimeError("out of memory")

    failing = Engine(step)
    WeightsSaver(str(tmp_path), module).attach(failing)
    with pytest.raises(RuntimeError):
        failing.run(range(5))
    assert (tmp_path / "model.pt").read_bytes() == b"good"
    whole = Engine(lambda *_: None)
    WeightsSaver(str(tmp_path), module, interval=2).attach(whole)
    whole.run(range(2), max_epochs=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt", "model_epoch=2.pt", "model_epoch=4.pt"]
    assert torch.equal(torch.load(tmp_path / "model.pt", weights_only=True)["weight"], module.weight)


def test_the_best_weights_are_those_of_the_highest_metric(tmp_path):
    module, scores = torch.nn.Linear(1, 1), iter([0.3, 0.6, math.nan, 0.5])
    engine = Engine(lambda *_: None)

    def validate(engine):
        engine.state.key_metric_name = "dice"
        engine.state.metrics = {"dice": next(scores)}
        torch.nn.init.constant_(module.weight, engine.state.metrics["dice"])

    engine.add_event_handler(Events.EPOCH_COMPLETED, validate)
    BestWeights(str(tmp_path), module).attach(engine)
    engine.run(range(1), max_epochs=4)
    assert float(torch.load(tmp_path / "model_best.pt", weights_only=True)["weight"]) == pytest.approx(0.6)


def test_weights_are_loaded_once_before_the_first_run(tmp_path):
    torch.save(torch.nn.Linear(1, 1).state_dict(), tmp_path / "model.pt")
    module, engine = torch.nn.Linear(1, 1), Engine(lambda *_: None)
    WeightsLoader(str(tmp_path / "model.pt"), module).attach(engine)
    engine.run(range(1))
    assert torch.equal(module.weight, torch.load(tmp_path / "model.pt", weights_only=True)["weight"])
    (tmp_path / "model.pt").unlink()
    engine.run(range(1))


class TestBackgroundPostprocessing:
    @staticmethod
    def run(items, transforms):
        saving, used = BackgroundPostprocessing(transforms), []
        engine = Engine(lambda engine, item: used.append(saving(item)))
        saving.attach(engine)
        engine.run(items)
        return used

    def test_every_item_is_done_in_order_when_the_run_ends(self):
        done = []
        assert self.run(range(5), done.append) == list(range(5)) == done

    def test_the_next_item_is_used_meanwhile(self):
        next_item = threading.Event()

        def transforms(number):
            assert number > 0 or next_item.wait(timeout=60)

        saving = BackgroundPostprocessing(transforms)
        saving(0)
        next_item.set()  # nobody would get here if the first item were waited for
        saving(1)
        saving.wait()

    @pytest.mark.parametrize("broken", [1, 2])
    def test_errors_stop_the_run(self, broken):
        """Number 2 is the last one."""

        def transforms(number):
            if number == broken:
                raise InputError("disk full")

        with pytest.raises(InputError, match="disk full"):
            self.run(range(3), transforms)
