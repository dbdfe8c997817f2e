"""Resuming from the newest checkpoint, and saving results in the background."""

import threading

import pytest
import torch
from ignite.engine import Engine, Events

from common.errors import InputError
from common.handlers import BackgroundPostprocessing, TrainingState


def trainer(module):
    def step(_, batch):
        with torch.no_grad():
            module.weight += batch

    return Engine(step)


def test_newest_checkpoint_is_kept_and_continued(tmp_path):
    module = torch.nn.Linear(1, 1)
    engine = trainer(module)
    TrainingState(str(tmp_path), {"module": module}, save_interval=9).attach(engine)
    engine.run(torch.ones(20), max_epochs=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_iteration=18.pt"]

    fresh = torch.nn.Linear(1, 1)
    resumed = trainer(fresh)
    TrainingState(str(tmp_path), {"module": fresh}, save_interval=9, resume=True).attach(resumed)
    resumed.run(torch.ones(20), max_epochs=1)
    assert resumed.state.iteration == 20
    assert torch.equal(fresh.weight, module.weight)


def test_nothing_to_resume_from(tmp_path):
    state = TrainingState(str(tmp_path), {}, save_interval=9, resume=True)
    with pytest.raises(InputError, match="no checkpoint_iteration"):
        state.attach(Engine(lambda *_: None))


def test_dropout_goes_on_as_if_never_stopped(tmp_path):
    def run(folder, batches, resume=False):
        seen = []
        engine = Engine(lambda _, batch: seen.append(torch.rand(1).item()))
        TrainingState(str(folder), {}, save_interval=4, resume=resume).attach(engine)
        engine.run(torch.ones(batches), max_epochs=1)
        return seen

    torch.manual_seed(5)
    whole = run(tmp_path / "whole", 8)
    torch.manual_seed(5)
    first = run(tmp_path / "parts", 4)
    torch.manual_seed(6)
    engine = Engine(lambda *_: None)
    TrainingState(str(tmp_path / "parts"), {}, save_interval=4, resume=True).attach(engine)
    seen = []
    engine.add_event_handler(Events.ITERATION_STARTED, lambda _: seen.append(torch.rand(1).item()))
    engine.run(torch.ones(8), max_epochs=2)
    assert first == whole[:4] and seen[:4] == whole[4:]


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
