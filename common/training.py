"""A faster training step for MONAI's ``SupervisedTrainer``: the same arithmetic, arranged for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_map

from .errors import InputError
from .networks.layout import prefer_channels_last
from .precision import check_precision, computes_in_bfloat16

_WARM_UP = 3


class FastUpdate:
    """Training step for ``SupervisedTrainer(iteration_update=...)``; in float32 its losses are those of the plain step.

    Weights are kept in channels-last order. On a GPU the whole step, from the batch to the new weights, is recorded as
    a CUDA graph after three ordinary steps and launched at once from then on; the loss stays on the device until a
    handler reads it. The trainer's events inside of a step (``FORWARD_COMPLETED`` and so on) are not fired, and its
    output holds no predictions.

    Processes that train together (DistributedDataParallel) get neither graph nor another order of weights: gradients
    are exchanged in the order that they were first laid out in.

    Args:
        precision: of the encoder: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the device computes with it.
        compiled: let ``torch.compile`` fuse operations; takes minutes at the start.
        cuda_graph: launch steps as a graph, on a GPU. The optimiser's numbers may not change from step to step but for
            the learning rate; Adam and AdamW need ``capturable: true``.

    Raises:
        InputError: unknown ``precision``.
    """

    def __init__(self, precision: str = "auto", compiled: bool = False, cuda_graph: bool = True) -> None:
        self.precision = check_precision(precision)
        self.compiled = compiled
        self.cuda_graph = cuda_graph
        self._step: Callable[..., Tensor] | None = None

    def __call__(self, engine: SupervisedTrainer, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Train on one batch; returns ``image``, ``label`` and the detached ``loss``.

        Raises:
            InputError: a number of the optimiser changed under a CUDA graph.
        """
        if self._step is None:
            self._step = self._prepare(engine)
        engine.network.train()
        image, label, args, kwargs = engine.prepare_batch(
            batch, engine.state.device, engine.non_blocking, **engine.to_kwargs
        )
        loss = self._step(image, label, args, kwargs)
        return {CommonKeys.IMAGE: image, CommonKeys.LABEL: label, CommonKeys.LOSS: loss}

    def _prepare(self, engine: SupervisedTrainer) -> Callable[..., Tensor]:
        device, network = torch.device(engine.state.device), engine.network
        alone = not isinstance(network, DistributedDataParallel)
        segmenter: Any = network if alone else network.module
        segmenter.trains_in_bfloat16 = computes_in_bfloat16(self.precision, device)
        if alone:
            prefer_channels_last(network)
            _follow_weights(engine.optimizer)
        forward = torch.compile(network, dynamic=False) if self.compiled else network

        def step(image: Tensor, label: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
            engine.optimizer.zero_grad(set_to_none=True)
            outputs = engine.inferer(image, forward, *args, **kwargs)
            loss = engine.loss_function(outputs, label).mean()
            loss.backward()
            engine.optimizer.step()
            return loss.detach()

        return _GraphedStep(step, engine) if self.cuda_graph and alone and device.type == "cuda" else step


class _GraphedStep:
    """A training step that is recorded once and then replayed on copies of its arguments."""

    def __init__(self, step: Callable[..., Tensor], engine: SupervisedTrainer) -> None:
        self.step = step
        self.optimizer = engine.optimizer
        self.weights = [*engine.network.parameters(), *engine.network.buffers()]
        for group in self.optimizer.param_groups:
            group["lr"] = float(group["lr"])  # a resumed run brings a tensor, on the host
        self.stream = torch.cuda.Stream(engine.state.device)
        self.done = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.arguments: tuple[Any, ...] = ()
        self.constants: list[dict[str, Any]] = []
        self.loss = torch.empty(0)

    def __call__(self, *arguments: Any) -> Tensor:
        self.done += 1
        if self.done <= _WARM_UP:
            return self._on_side_stream(*arguments)
        graph = self.graph = self.graph or self._record(*arguments)
        if _constants(self.optimizer) != self.constants:
            raise InputError("the optimiser's numbers change from step to step; set cuda_graph to false")
        tree_map(lambda own, new: own.copy_(new) if isinstance(own, Tensor) else own, self.arguments, arguments)
        graph.replay()
        # A replay changes weights behind autograd's back; who keeps something made from them looks at the version.
        torch.autograd.graph.increment_version(self.weights)
        return self.loss.clone()

    def _on_side_stream(self, *arguments: Any) -> Tensor:
        """Take an ordinary step: what is made on first use, such as momentum, must exist before recording."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.step(*arguments)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss

    def _record(self, *arguments: Any) -> torch.cuda.CUDAGraph:
        for group in self.optimizer.param_groups:
            # A tensor is read anew by each replay; schedulers fill it in place.
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32).to(group["params"][0].device)
        self.constants = _constants(self.optimizer)
        self.arguments = tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, arguments)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.loss = self.step(*self.arguments)
        return graph


def _constants(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in group.items() if name not in ("params", "lr", "initial_lr")}
        for group in optimizer.param_groups
    ]


def _follow_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give what the optimiser keeps of each weight, after resuming, that weight's order in memory."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                state[name] = torch.empty_like(weight).copy_(value)
