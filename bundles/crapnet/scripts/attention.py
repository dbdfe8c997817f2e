"""Cycle-resemblance attention (CRAPNet, sections 3.4 and 3.5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def cycle_weights(own: Tensor, other: Tensor, compared: Tensor) -> Tensor:
    """Weigh the pixels of a feature map by how much they resemble where a cycle through another map leads.

    From each own pixel to the most similar pixel of the other map, and from there back to the most similar own pixel:
    the cosine between start and end, in a softmax over all pixels. As printed, equations 9 and 10 against 11 and 12 are
    transposed; figure 2b shows the cycle. The affinity is a plain dot product; ties go to the first pixel.

    Args:
        own: embedding ``(P, c, N)`` of the map that is weighed.
        other: embedding ``(P, c, M)`` of the other map.
        compared: ``(P, C, N)``, the own features whose cosine is taken.

    Returns:
        Weights ``(P, N)``, sum 1.
    """
    # Only the choice of pixels depends on the affinity, so no gradient passes through it.
    with torch.no_grad():
        there, back = most_similar(own, other)  # equations 9, 11 and 12
        end_pixel = back.gather(1, there)
    end = compared.gather(2, end_pixel.unsqueeze(1).expand_as(compared))
    return F.cosine_similarity(compared, end, dim=1).softmax(1)  # equation 13


def most_similar(own: Tensor, other: Tensor, cells: int = 2**23) -> tuple[Tensor, Tensor]:
    """Find the most similar pixel on the other side for the pixels of both maps, by dot product.

    The affinity of all pixels is made in strips, so that memory does not grow with the square of the map.

    Args:
        own: ``(P, c, N)``.
        other: ``(P, c, M)``.
        cells: most elements of the affinity that exist at a time; a strip has one row of pixels at least.

    Returns:
        For each own pixel the other one ``(P, N)``, for each other pixel the own one ``(P, M)``.
    """
    rows = own.transpose(1, 2)
    strip = max(1, cells // (other.shape[0] * other.shape[2]))
    there: list[Tensor] = []
    greatest = other.new_full([other.shape[0], other.shape[2]], -float("inf"))
    back = torch.zeros_like(greatest, dtype=torch.long)
    for first in range(0, rows.shape[1], strip):
        affinity = torch.matmul(rows[:, first : first + strip], other)
        there.append(affinity.max(2)[1])
        value, row = affinity.max(1)
        greater = value > greatest
        greatest = torch.where(greater, value, greatest)
        back = torch.where(greater, row + first, back)
    return torch.cat(there, 1), back


class CycleResemblanceBlock(nn.Module):
    """Add to a feature map what of itself resembles the other side's map; starts as the identity.

    Args:
        channels: channels ``F`` of the features.
        inner_channels: channels of the embeddings; the paper gives none.
        tied: embed both sides alike. With maps of their own, as figure 2 draws them, the other side's gets no gradient
            ever, since it only serves the choice of pixels, and the matches stay random.
        compare_embeddings: take the cosine of equation 13 between embeddings; between features, as printed, no
            embedding would ever be trained.
        times_pixels: weights of mean 1, C(x) = 1 / N for N pixels, as in a non-local mean. The paper leaves C(x) open.
            False: C(x) = 1; each weight is about 1 / N, and the block changes next to nothing: after 150 steps 2e-7 of
            the features instead of 6e-2.
    """

    def __init__(
        self,
        channels: int,
        inner_channels: int = 128,
        tied: bool = True,
        compare_embeddings: bool = True,
        times_pixels: bool = True,
    ) -> None:
        super().__init__()
        self.compare_embeddings = compare_embeddings
        self.times_pixels = times_pixels
        self.theta = nn.Conv1d(channels, inner_channels, kernel_size=1)
        self.phi = None if tied else nn.Conv1d(channels, inner_channels, kernel_size=1)
        self.value = nn.Conv1d(channels, inner_channels, kernel_size=1)
        self.out = nn.Conv1d(inner_channels, channels, kernel_size=1)
        # An embedding that only serves the choice of pixels has no gradient; processes that train together must know.
        if self.phi is not None:
            self.phi.requires_grad_(False)
        self.theta.requires_grad_(compare_embeddings)
        # As non-local blocks do: nothing changes until training asks for it.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, features: Tensor, others: Tensor) -> Tensor:
        """Attend.

        Args:
            features: ``(B, F, *s)``.
            others: maps of the other side ``(B, K, F, *s)``; the cycles through each of them are averaged.

        Returns:
            ``(B, F, *s)``.
        """
        shots = others.shape[1]
        flat = features.flatten(2)
        own = self.theta(flat).repeat_interleave(shots, dim=0)
        other = others.flatten(0, 1).flatten(2)
        other = self.theta(other) if self.phi is None else self.phi(other)
        compared = own if self.compare_embeddings else flat.repeat_interleave(shots, dim=0)
        weights = cycle_weights(own, other, compared).unflatten(0, [features.shape[0], shots]).mean(1)
        if self.times_pixels:
            weights = weights * weights.shape[1]
        # Equations 1 and 2, then 7 and 8; averaged over the shots, each of which has its own cycle.
        attended = weights.unsqueeze(1) * self.value(flat)
        return features + self.out(attended).unflatten(2, features.shape[2:])
