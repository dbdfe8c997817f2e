"""Ignite handlers of our own: exact resuming, and saving results in the background."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.handlers import CheckpointLoader, CheckpointSaver

from .background import in_background
from .errors import InputError
from .networks.layout import follow_weights

_KINDS = ("fused", "foreach", "capturable")


class TrainingState:
    """Save everything that a training run depends on, and continue from it bit for bit.

    Args:
        save_dir: folder of ``checkpoint_iteration=*.pt``; the newest one is kept, and the final state.
        objects: what to save beside the trainer: network, optimiser, scheduler, episode loader, ...
        save_interval: iterations between checkpoints.
        resume: continue from the newest checkpoint in ``save_dir``.
    """

    def __init__(self, save_dir: str, objects: dict[str, Any], save_interval: int, resume: bool = False) -> None:
        self.save_dir = Path(save_dir)
        self.objects = objects
        self.save_interval = save_interval
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        """Add saver and, to resume, loader to a trainer.

        Raises:
            InputError: asked to resume without a checkpoint.
        """
        objects = {**self.objects, "trainer": engine, "random": _RandomState()}
        if not dist.is_initialized() or dist.get_rank() == 0:
            CheckpointSaver(
                save_dir=str(self.save_dir),
                save_dict=objects,
                save_interval=self.save_interval,
                epoch_level=False,
                n_saved=1,
            ).attach(engine)
        if self.resume:
            path = self._newest()
            CheckpointLoader(load_path=str(path), load_dict=objects, map_location="cpu").attach(engine)
            engine.add_event_handler(Events.STARTED, self._keep_kind_of_update)

    def _keep_kind_of_update(self) -> None:
        """Undo that a checkpoint brings how its run computed, not just what: fused or not, and in which order."""
        for optimizer in self.objects.values():
            if isinstance(optimizer, torch.optim.Optimizer):
                for group in optimizer.param_groups:
                    group.update({name: optimizer.defaults[name] for name in _KINDS if name in optimizer.defaults})
                    group["lr"] = float(group["lr"])
                follow_weights(optimizer)

    def _newest(self) -> Path:
        found = list(self.save_dir.glob("checkpoint_iteration=*.pt"))
        if not found:
            raise InputError(
                f"{self.save_dir}: no checkpoint_iteration=*.pt to resume from; drop --resume or check ckpt_dir"
            )
        return max(found, key=lambda path: int(re.findall(r"\d+", path.stem)[-1]))


class BackgroundPostprocessing:
    """Postprocess each item in the background while the evaluator goes on with the next one; results follow in order.

    Goes into the evaluator twice: as ``postprocessing``, which takes items and returns them as they are, and as a
    handler, which waits for the last one. What a transform raises comes up with the next item or at the end.

    Args:
        transforms: what to do with an item; its return value is not used.
    """

    def __init__(self, transforms: Callable[[Any], Any]) -> None:
        self.transforms = transforms
        self._running: Future[Any] | None = None

    def __call__(self, item: Any) -> Any:
        """Start on an item once the one before is done."""
        self.wait()
        self._running = in_background(self.transforms, item)
        return item

    def wait(self) -> None:
        """Wait until nothing is left to do."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def attach(self, engine: Engine) -> None:
        """Add to an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self.wait)


class _RandomState:
    """Torch's global generators, from which layers such as dropout draw."""

    def state_dict(self) -> dict[str, Any]:
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        torch.set_rng_state(state["cpu"])
        # On another number of GPUs a run goes on, but not bit for bit.
        if len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
