"""Resuming: the newest checkpoint is taken, and its absence is said."""

import pytest
import torch
from ignite.engine import Engine

from common.errors import InputError
from common.handlers import TrainingState


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
