"""The fast training step against the plain one: the same losses, and the same weights after resuming."""

import pytest
import torch
from ignite.engine import Events

from common.configuration.workflow import bundle_workflow
from tests.e2e.tiny import SMALL, SMALL_TRAINING

STEPS = 20


@pytest.fixture
def train(dataset, tmp_path, bundle_root, own_scripts):
    """Give ``train(bundle, *overlays, stop, **settings)``, which returns the losses; ``stop`` is the last step."""

    def run(bundle, *overlays, stop=None, **settings):
        places = {name: str(tmp_path / name) for name in ("ckpt_dir", "output_dir", "cache_dir")}
        defaults = {**SMALL_TRAINING[bundle], "batch_size": 1, "dataset_dir": str(dataset), "max_epochs": 1}
        defaults |= {"episodes_per_epoch": STEPS, "val_interval": 2, **places}
        torch.manual_seed(0)
        workflow = bundle_workflow(bundle_root(bundle), ["train", *overlays], **{**defaults, **settings})
        trainer, losses = workflow.parser.get_parsed_content("train#trainer"), []
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output["loss"].detach().clone())
        )
        if stop is not None:
            trainer.add_event_handler(Events.ITERATION_COMPLETED(once=stop), trainer.terminate)
        workflow.run()
        return torch.stack(losses)

    return run


# In float32 two orders of summation differ in the last digit, and training on two images at a time multiplies that by
# three to ten in each step. So the arithmetic is compared in float64.
DOUBLE = {"network": "$@initialised.double().to(@device)", "train#trainer#to_kwargs": {"dtype": "$torch.float64"}}


@pytest.mark.parametrize("bundle", SMALL)
def test_losses_of_twenty_steps_are_those_of_the_plain_step(bundle, train):
    settings = {"learning_rate": 0.001, **DOUBLE}
    plain, fast = train(bundle, **settings), train(bundle, "fast", precision="float32", **settings)
    assert len(plain) == STEPS
    torch.testing.assert_close(fast, plain, atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize("bundle", SMALL)
def test_first_losses_in_float32_are_those_of_the_plain_step(bundle, train):
    settings = {"learning_rate": 0.001, "episodes_per_epoch": 3}
    plain, fast = train(bundle, **settings), train(bundle, "fast", precision="float32", **settings)
    torch.testing.assert_close(fast, plain, atol=1e-3, rtol=1e-3)


def test_bfloat16_learns_as_float32_does(train):
    settings = {"learning_rate": 0.001, "episodes_per_epoch": 100}
    plain, fast = train("adnet", **settings), train("adnet", "fast", precision="bfloat16", **settings)
    assert not torch.equal(plain[:1], fast[:1])
    assert (plain[0] - fast[0]).abs() < 0.1
    for losses in (plain, fast):
        assert losses[-50:].mean() < losses[:10].mean() - 0.3


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])
def test_resuming_is_exact(bundle, train, tmp_path):
    """SGD and AdamW, whose memory must keep the weights' order."""
    settings = {"precision": "bfloat16", "max_epochs": 2, "episodes_per_epoch": 10, "save_interval": 10}
    whole = train(bundle, "fast", **settings)
    next((tmp_path / "ckpt_dir").glob("checkpoint_*.pt")).unlink()
    assert torch.equal(train(bundle, "fast", stop=12, **settings), whole[:12])
    assert torch.equal(train(bundle, "fast", resume=True, **settings), whole[10:])


@pytest.mark.parametrize("bundle", ["adnet", "alpnet3d"])
@pytest.mark.parametrize("overlays", [([], ["fast"]), (["fast"], [])], ids=["plain-fast", "fast-plain"])
def test_either_step_continues_what_the_other_began(bundle, overlays, train):
    """A checkpoint also holds how its run computed, and the order in memory of what the optimiser keeps."""
    settings = {"max_epochs": 2, "episodes_per_epoch": 10, "save_interval": 10, "val_interval": 9}
    settings |= {"learning_rate": 0.001, **DOUBLE}
    exact = [{"precision": "float32"} if chosen else {} for chosen in overlays]  # fast.yaml has the setting
    began = train(bundle, *overlays[0], stop=12, **settings, **exact[0])
    whole = torch.cat([began[:10], train(bundle, *overlays[1], resume=True, **settings, **exact[1])])
    torch.testing.assert_close(whole, train(bundle, **settings), atol=1e-8, rtol=1e-8)


@pytest.mark.gpu
@pytest.mark.parametrize("bundle", [name for name in SMALL if name != "alpnet3d"])
def test_graphed_steps_have_the_losses_of_launched_ones(bundle, train):
    settings = {"learning_rate": 0.001, **DOUBLE}
    launched = train(bundle, "fast", precision="float32", cuda_graph=False, **settings)
    graphed = train(bundle, "fast", precision="float32", **settings)
    # A graph reads the learning rate in float32.
    torch.testing.assert_close(graphed, launched, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_compiled_steps_give_the_weights_of_plain_ones(run_bundle, dataset, options, tmp_path):
    """In a process for each, as for users: the compiler knows modules by name, and all bundles have the same names."""
    configs = str([f"bundles/adnet/configs/{name}.yaml" for name in ("train", "fast")])
    settings = {**SMALL_TRAINING["adnet"], "batch_size": 1, "dataset_dir": dataset, "max_epochs": 1, "val_interval": 2}
    settings |= {"episodes_per_epoch": STEPS, "learning_rate": 0.001, "precision": "float32", **DOUBLE}
    weights = []
    for compiled in (False, True):
        places = {name: tmp_path / str(compiled) / name for name in ("ckpt_dir", "output_dir", "cache_dir")}
        arguments = options(**settings, **places, compiled=compiled)
        run_bundle("run", "training", "--config_file", configs, *arguments)
        weights.append(torch.load(places["ckpt_dir"] / "model.pt", weights_only=True))
    torch.testing.assert_close(*weights, atol=1e-8, rtol=1e-8)
