"""Order of weights in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FORMATS: dict[type[nn.Module], torch.memory_format] = {
    nn.Conv2d: torch.channels_last,
    nn.Conv3d: torch.channels_last_3d,
}


def is_convolution(module: nn.Module) -> bool:
    """Tell 2D and 3D convolutions from other layers."""
    return type(module) in _FORMATS


def follow_weights(optimizer: torch.optim.Optimizer) -> None:
    """Give what an optimiser keeps of each weight that weight's order in memory: fused updates rely on it."""
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                state[name] = torch.empty_like(weight).copy_(value)


def prefer_channels_last(network: nn.Module) -> None:
    """Put the weights of convolutions in channels-last order, in place; their features then follow."""
    for module in network.modules():
        if is_convolution(module):
            module.to(memory_format=_FORMATS[type(module)])  # type: ignore[call-overload]
