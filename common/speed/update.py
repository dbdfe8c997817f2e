"""A faster training step for MONAI's ``SupervisedTrainer``: the same arithmetic, arranged for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from monai.utils.enums import CommonKeys
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves, tree_map

from ..errors import InputError
from .layout import follow_weights, prefer_channels_last
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
        cuda_graph: launch steps as a graph, on a GPU. All batches have one size, and of the optimiser's numbers only
            the learning rate changes from step to step. SGD must be ``fused``, Adam and AdamW ``capturable``.

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
            InputError: the trainer has ``amp`` or ``accumulation_steps``, the optimiser cannot be part of a CUDA graph,
                or under a graph a number of the optimiser or the size of a batch changed.
        """
        if self._step is None:
            self._step = self._prepare(engine)
        engine.network.train()
        image, label, *extra = engine.prepare_batch(batch, engine.state.device, engine.non_blocking, **engine.to_kwargs)
        args, kwargs = extra or ((), {})
        loss = self._step(image, label, args, kwargs)
        return {CommonKeys.IMAGE: image, CommonKeys.LABEL: label, CommonKeys.LOSS: loss}

    def _prepare(self, engine: SupervisedTrainer) -> Callable[..., Tensor]:
        if engine.amp or engine.accumulation_steps > 1:
            raise InputError(
                "FastUpdate knows neither amp nor accumulation_steps; set precision and batch_size instead"
            )
        device, network = torch.device(engine.state.device), engine.network
        alone = not isinstance(network, DistributedDataParallel)
        segmenter: Any = network if alone else network.module
        segmenter.trains_in_bfloat16 = computes_in_bfloat16(self.precision, device)
        if alone:
            prefer_channels_last(network)
            follow_weights(engine.optimizer)
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
        if not all(group.get("capturable", group.get("fused")) for group in self.optimizer.param_groups):
            raise InputError(
                "a CUDA graph needs SGD with fused: true, Adam with capturable: true, or cuda_graph: false"
            )
        self.weights = [*engine.network.parameters(), *engine.network.buffers()]
        self.device = torch.device(engine.state.device)
        self.stream = torch.cuda.Stream(self.device)
        self.done = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.arguments: tuple[Any, ...] = ()
        self.rates: list[Tensor] = []
        self.constants: list[dict[str, Any]] = []
        self.loss = torch.empty(0)

    def __call__(self, *arguments: Any) -> Tensor:
        self.done += 1
        with torch.cuda.device(self.device):
            if self.done <= _WARM_UP:
                return self._on_side_stream(*arguments)
            graph = self.graph = self.graph or self._record(*arguments)
            self._check(arguments)
            tree_map(lambda own, new: own.copy_(new) if isinstance(own, Tensor) else own, self.arguments, arguments)
            graph.replay()
            # A replay changes weights behind autograd's back; who keeps something made from them asks for the version.
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
        # A tensor is read anew by each replay; schedulers fill it in place.
        self.rates = [torch.tensor(float(group["lr"]), device=self.device) for group in self.optimizer.param_groups]
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate
        self.constants = _constants(self.optimizer)
        self.arguments = tree_map(lambda value: value.clone() if isinstance(value, Tensor) else value, arguments)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            self.loss = self.step(*self.arguments)
        return graph

    def _check(self, arguments: tuple[Any, ...]) -> None:
        groups = self.optimizer.param_groups
        same_rates = all(group["lr"] is rate for group, rate in zip(groups, self.rates, strict=True))
        if not same_rates or _constants(self.optimizer) != self.constants:
            raise InputError(
                "the optimiser's numbers change in a way that a graph cannot follow; set cuda_graph to false"
            )
        if _shapes(arguments) != _shapes(self.arguments):
            raise InputError("batches of different sizes; let the loader drop the last one, or set cuda_graph to false")


def _shapes(arguments: tuple[Any, ...]) -> list[torch.Size]:
    return [leaf.shape for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]


def _constants(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in group.items() if name not in ("params", "lr", "initial_lr")}
        for group in optimizer.param_groups
    ]
