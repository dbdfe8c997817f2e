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


def resize_mask(mask: Tensor, size: list[int]) -> Tensor:
    """Bring masks to feature size by plain linear interpolation (released ALPNet code).

    At a stride of 8 each feature cell sees the central 2 x 2 pixels of its 8 x 8 block only, not the block's average.

    Args:
        mask: ``(B, K, 1, *S)`` with values in [0, 1].
        size: feature grid ``*s``.

    Returns:
        Soft masks ``(B, K, 1, *s)``.
    """
    if list(mask.shape[3:]) == size:
        return mask
    mode = "bilinear" if len(size) == 2 else "trilinear"
    resized = F.interpolate(mask.flatten(0, 1), size=size, mode=mode, align_corners=False)
    return resized.unflatten(0, [mask.shape[0], mask.shape[1]])


def cell_average(values: Tensor, window: list[int]) -> Tensor:
    """Average features or masks over the cells of a grid (ALPNet, equation 1; 3D ALPNet, equation 3.1).

    Cells are half-open and do not overlap. Where the window does not divide the grid, the last cells are smaller; the
    released ALPNet code would drop them, its sizes divide.

    Args:
        values: ``(B, K, C, *s)``.
        window: size of a cell, one number per axis.

    Returns:
        ``(B, K, C, *g)``.
    """
    flat = values.flatten(0, 1)
    if len(window) == 2:
        cells = F.avg_pool2d(flat, window, ceil_mode=True)
    else:
        cells = F.avg_pool3d(flat, window, ceil_mode=True)
    return cells.unflatten(0, [values.shape[0], values.shape[1]])


def as_prototypes(cells: Tensor) -> Tensor:
    """Turn grids of features ``(B, K, F, *g)`` into prototypes ``(B, P, F)`` of all shots, ``P = K x cells``."""
    return cells.flatten(3).transpose(2, 3).flatten(1, 2)


def assign_cells(fraction: Tensor, rule: str = "code", threshold: float = 0.95) -> tuple[Tensor, Tensor]:
    """Tell which cells give foreground and which give background prototypes.

    Rule ``code`` (released ALPNet code): foreground or background above the threshold; mixed cells are neither. Rule
    ``paper`` (ALPNet, equation 2; 3D ALPNet): foreground from the threshold on, background all the rest. Where an
    episode has no background cell, the cells with the least foreground become it: the released code fails there.

    Args:
        fraction: foreground fraction of the cells ``(B, K, 1, *g)``.
        rule: ``code`` or ``paper``.
        threshold: fraction that makes a cell foreground.

    Returns:
        Foreground and background ``(B, P)``, booleans in the order of ``as_prototypes``.
    """
    fraction = fraction.flatten(1)
    if rule == "paper":
        foreground, background = fraction >= threshold, fraction < threshold
    else:
        foreground, background = fraction > threshold, 1.0 - fraction > threshold
    least = fraction == fraction.amin(1, keepdim=True)
    return foreground, background | (least & ~background.any(1, keepdim=True))


def fuse(similarity: Tensor, valid: Tensor) -> Tensor:
    """Fuse similarities to several prototypes, weighted by their own softmax (ALPNet, equation 5).

    Args:
        similarity: ``(B, P, *s)``, scaled: the released ALPNet code takes the softmax of the scaled cosines.
        valid: ``(B, P)``, which prototypes count; at least one per episode.

    Returns:
        ``(B, *s)``: the sum over k of ``softmax_k(S) S_k``.
    """
    flat = similarity.flatten(2)
    weights = flat.masked_fill(~valid.unsqueeze(2), -float("inf")).softmax(1)
    return (weights * flat).sum(1).unflatten(1, similarity.shape[2:])


def local_scores(
    query_features: Tensor,
    prototypes: Tensor,
    foreground: Tensor,
    background: Tensor,
    class_prototypes: Tensor,
    alpha: float,
) -> Tensor:
    """Score a query against local prototypes, and for the foreground class-level ones too (ALPNet, equations 4 and 5).

    Args:
        query_features: ``(B, F, *s)``.
        prototypes: of the cells ``(B, P, F)``.
        foreground: ``(B, P)``, cells that are foreground prototypes.
        background: ``(B, P)``, cells that are background prototypes.
        class_prototypes: of the whole structure, one per shot ``(B, K, F)``.
        alpha: scale of the cosine.

    Returns:
        Scores of background and foreground ``(B, 2, *s)``.
    """
    whole = torch.ones_like(class_prototypes[:, :, 0], dtype=torch.bool)
    counted = torch.stack([torch.cat([background, ~whole], 1), torch.cat([foreground, whole], 1)], dim=1)
    prototypes = torch.cat([prototypes, class_prototypes], dim=1)
    if alpha > 40:  # the exponentials below could vanish
        similarity = alpha * cosine_similarity(query_features, prototypes)
        return torch.stack([fuse(similarity, counted[:, 0]), fuse(similarity, counted[:, 1])], dim=1)
    # One exponential serves both classes, relative to the greatest value that a cosine can have, and their sums are
    # products. Strips of places stay in a CPU's cache; all similarities of a volume would take gigabytes.
    members = counted.to(query_features.dtype)
    directions = F.normalize(query_features.flatten(2), dim=1, eps=1e-8)
    scaled = alpha * F.normalize(prototypes, dim=2, eps=1e-8)
    scores = []
    for strip in directions.split(max(1024, (1 << 20) // prototypes.shape[1]), dim=2):
        similarity = torch.matmul(scaled, strip)
        weights = torch.exp(similarity - alpha)
        scores.append(torch.matmul(members, weights * similarity) / torch.matmul(members, weights))
    return torch.cat(scores, dim=2).unflatten(2, query_features.shape[2:])


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
