"""Content-aware pooling of features to local prototypes (CRAPNet, equation 14; CARAFE++)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def reassemble(features: Tensor, kernels: Tensor, factor: int, shift: int = 0) -> Tensor:
    """Bring features to a coarser grid, each place with a kernel of its own.

    Args:
        features: ``(N, F, H, W)``; zero outside.
        kernels: ``(N, k * k, h, w)``, sum 1 over the taps, ``h = ceil(H / factor)``.
        factor: coarse place ``m`` has its window around ``factor * m + shift``.
        shift: of the windows' centres.

    Returns:
        ``(N, F, h, w)``.
    """
    side = int(round(kernels.shape[1] ** 0.5))
    radius = side // 2
    h, w = kernels.shape[2], kernels.shape[3]
    bottom = factor * (h - 1) + shift + radius + 1 - features.shape[2]
    right = factor * (w - 1) + shift + radius + 1 - features.shape[3]
    padded = F.pad(features, [radius - shift, right, radius - shift, bottom])
    windows = F.unfold(padded, [side, side], stride=[factor, factor]).unflatten(1, [features.shape[1], side * side])
    return (windows * kernels.flatten(2).unsqueeze(1)).sum(2).unflatten(2, [h, w])


class ContentAwarePooling(nn.Module):
    """Predict a pooling kernel for each coarse place from the features around it, and pool.

    The paper says CARAFE++ and factor 4 only; widths and kernels are the usual ones of its re-implementations.

    Args:
        channels: channels ``F`` of the features.
        factor: downsampling factor (paper: sigma = 4).
        kernel_size: side of the pooled window, ``2 r + 1``.
        compressed_channels: channels from which kernels are predicted.
        centred: windows around the middle of the coarse cell instead of its first pixel.
    """

    def __init__(
        self, channels: int, factor: int = 4, kernel_size: int = 5, compressed_channels: int = 16, centred: bool = False
    ) -> None:
        super().__init__()
        self.factor = factor
        self.shift = factor // 2 if centred else 0
        self.compress = nn.Conv2d(channels, compressed_channels, kernel_size=1)
        self.predict = nn.Conv2d(compressed_channels, kernel_size**2, kernel_size=3, stride=factor, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Pool ``(N, F, H, W)`` to ``(N, F, ceil(H / factor), ceil(W / factor))``."""
        kernels = self.predict(self.compress(features)).softmax(1)
        return reassemble(features, kernels, self.factor, self.shift)
