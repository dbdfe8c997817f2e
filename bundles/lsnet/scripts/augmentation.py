"""LSNet's random changes of intensity."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from common.episodes import EpisodeAugmentation
from common.episodes.augmentation import gamma_transform


class IntensityAugmentation(EpisodeAugmentation):
    """Random gamma, contrast and brightness, each with its own probability; the geometry is left alone.

    The paper names the three and gives no values.

    Args:
        gamma: smallest and largest exponent.
        contrast: largest relative change of the distance to the slice's mean.
        brightness: largest shift, in the image's own, normalised intensities.
        probability: of each change.
    """

    def __init__(
        self,
        gamma: Sequence[float] = (0.8, 1.2),
        contrast: float = 0.2,
        brightness: float = 0.2,
        probability: float = 0.5,
    ) -> None:
        super().__init__(gamma=gamma)
        self.contrast = contrast
        self.brightness = brightness
        self.probability = probability

    def change_intensity(self, image: Tensor, strength: Tensor) -> Tensor:
        """Change slices ``(N, 1, H, W)`` by ``(N, 3)``: exponent, contrast factor, brightness shift."""
        gamma, contrast, brightness = strength.unsqueeze(2).unsqueeze(3).unsqueeze(4).unbind(1)
        image = gamma_transform(image, gamma)
        mean = image.mean((1, 2, 3), keepdim=True)
        return (image - mean) * contrast + mean + brightness

    def _draw(self, generator: Generator, intensities: int, geometries: int) -> tuple[Tensor, Tensor]:
        gamma, numbers = super()._draw(generator, intensities, geometries)
        contrast, brightness = (2 * torch.rand(2, intensities, generator=generator) - 1).unbind(0)
        drawn = torch.stack([gamma, 1 + self.contrast * contrast, self.brightness * brightness], dim=1)
        changed = torch.rand(intensities, 3, generator=generator) < self.probability
        return torch.where(changed, drawn, torch.tensor([1.0, 1.0, 0.0])), numbers
