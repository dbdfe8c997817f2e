"""Prototype operations: pure, batched, differentiable functions for 2D and 3D feature maps (by the number of axes)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def resize_adjoint(mask: Tensor, size: list[int]) -> Tensor:
    """Bring masks down to feature size by the transpose of linear upsampling.

    Pooling features under the returned weights equals upsampling the features to the mask's size
    (``align_corners=False``) and pooling them there, without ever building the upsampled features.

    Args:
        mask: weights ``(..., *S)`` with as many trailing grid axes as ``size`` has entries.
        size: feature grid ``*s``.

    Returns:
        Weights ``(..., *s)`` with the same sum as ``mask`` over the grid.
    """
    axes = len(size)
    for axis in range(axes):
        position = mask.dim() - axes + axis
        if mask.shape[position] != size[axis]:
            weights = _interpolation_matrix(size[axis], mask.shape[position], mask)
            mask = torch.matmul(mask.transpose(position, -1), weights).transpose(position, -1)
    return mask


def masked_average(features: Tensor, mask: Tensor) -> Tensor:
    """Average features under a mask, shot by shot, as if the features were upsampled to the mask (ADNet, equation 1).

    Args:
        features: ``(B, K, F, *s)``.
        mask: ``(B, K, 1, *S)`` with values in [0, 1]; ``*S`` may equal ``*s``.

    Returns:
        Prototypes ``(B, K, F)``; the zero vector where a mask is empty.
    """
    weights = resize_adjoint(mask.to(features.dtype), list(features.shape[3:]))
    total = torch.matmul(features.flatten(3), weights.flatten(3).transpose(2, 3)).squeeze(3)
    # 1e-5: the released code's guard, part of the published numbers.
    return total / (mask.flatten(3).sum(3).to(features.dtype) + 1e-5)


def cosine_similarity(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine of every feature vector with every prototype of its episode; a zero vector gives 0.

    Args:
        features: ``(B, F, *s)``.
        prototypes: ``(B, P, F)``.

    Returns:
        Cosines ``(B, P, *s)`` in [-1, 1].
    """
    directions = F.normalize(features.flatten(2), dim=1, eps=1e-8)
    cosines = torch.matmul(F.normalize(prototypes, dim=2, eps=1e-8), directions)
    return cosines.unflatten(2, features.shape[2:])


def _interpolation_matrix(source: int, target: int, like: Tensor) -> Tensor:
    """Linear interpolation from ``source`` to ``target`` points as a matrix ``(target, source)``."""
    identity = torch.eye(source, dtype=like.dtype, device=like.device)
    return F.interpolate(identity[None], size=target, mode="linear", align_corners=False)[0].t()
