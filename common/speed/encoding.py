"""How inference encodes images: in which precision, and how many at once. Most of its time goes there."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..networks import FewShotSegmenter
from .layout import is_convolution, prefer_channels_last
from .precision import check_precision, computes_in_bfloat16

logger = logging.getLogger(__name__)


class _Encoded(NamedTuple):
    """Images, their features, and the encoder and weights that made them."""

    encoder: nn.Module
    weights: Tensor
    images: Tensor
    features: Tensor

    @property
    def bytes(self) -> int:
        """Memory that images and features take."""
        return sum(part.numel() * part.element_size() for part in (self.images, self.features))


class Encoding:
    """Encodes images for inference, in batches; prototypes and scores stay in float32 whatever the precision.

    In bfloat16 a copy of the encoder is used, see ``fold``; it is made anew when weights have changed. The parts that
    an encoder names in its ``float32_parts`` stay in float32: its shallow layers, which cost little and where rounding
    changes the masks most.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor computes with it.
        batch_size: images per encoder call, halved while they do not fit a GPU's memory; None: 4 on a CPU, whose cache
            holds no more, and 64 on a GPU.

    Attributes:
        keep: bytes of query images and their features that are kept for the next support; 0: none.
        tell: called after each encoder call with the number of images that are encoded and that of all.

    Raises:
        InputError: unknown ``precision``.
    """

    def __init__(self, precision: str = "float32", batch_size: int | None = None) -> None:
        self.precision = check_precision(precision)
        self.batch_size = batch_size
        self.keep = 0
        self.tell: Callable[[int, int], object] = _say_nothing
        self._folded: tuple[object, Callable[[Tensor], Tensor]] | None = None
        self._support: list[_Encoded] = []
        self._queries: list[_Encoded] = []

    def support(self, segmenter: FewShotSegmenter, images: Tensor) -> Tensor:
        """Encode as ``__call__``; the features of the last support are kept for the next query."""
        encoded = self._find(segmenter, images, self._support)
        self._support = [encoded]
        return encoded.features

    def query(self, segmenter: FewShotSegmenter, images: Tensor) -> Tensor:
        """Encode as ``__call__``; the features are kept for the next support as far as ``keep`` allows."""
        if not self.keep:
            return self(segmenter, images)
        encoded = self._find(segmenter, images, self._queries)
        self._queries = [encoded, *(other for other in self._queries if other is not encoded)]
        while len(self._queries) > 1 and sum(part.bytes for part in self._queries) > self.keep:
            self._queries.pop()
        return encoded.features

    def _find(self, segmenter: FewShotSegmenter, images: Tensor, kept: list[_Encoded]) -> _Encoded:
        """Give what is kept of the same images, or encode them.

        Images and weights are compared by value: a loader copies the first, a CUDA graph changes the second unseen.
        """
        state = segmenter.encoder.state_dict().values()
        weights = torch.stack([images.new_zeros((), dtype=torch.float64), *(weight.double().sum() for weight in state)])
        for one in kept:
            if one.encoder is segmenter.encoder and _same(one.weights, weights) and _same(one.images, images):
                return one
        return _Encoded(segmenter.encoder, weights, images, self(segmenter, images))

    def __call__(self, segmenter: FewShotSegmenter, images: Tensor) -> Tensor:
        """Map images ``(N, 1, *S)`` to features ``(N, F, *s)``, float32."""
        low = computes_in_bfloat16(self.precision, images.device)
        encode = self._in_bfloat16(segmenter.encoder) if low else segmenter.encode
        size = self.batch_size or (64 if images.is_cuda else 4)
        features, done = [], 0
        while done < len(images):
            try:
                features.append(encode(images[done : done + size]))
                done += size
                self.tell(min(done, len(images)), len(images))
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                size //= 2
        return torch.cat(features)

    def _in_bfloat16(self, encoder: nn.Module) -> Callable[[Tensor], Tensor]:
        weights = [*encoder.parameters(), *encoder.buffers()]
        state = (encoder, [(weight.data_ptr(), weight._version) for weight in weights])
        if self._folded is None or self._folded[0] != state:
            self._folded = (state, _bfloat16_encoder(encoder))
        return self._folded[1]


def _say_nothing(done: int, number: int) -> None:
    """What ``tell`` does where nobody looks."""


def _same(one: Tensor, other: Tensor) -> bool:
    return one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)


def fold(encoder: nn.Module) -> nn.Module:
    """Copy an encoder with BatchNorm folded into the convolution before it; convolutions then prefer channels last.

    Which ones belong together is taken from the order of the modules and proven on an image. (Tracing the forward pass
    would tell too, but torch's tracer changes every module of the process meanwhile, also those of other threads.)

    Args:
        encoder: in evaluation mode; maps images ``(N, 1, *S)`` to features ``(N, F, *s)``.

    Raises:
        ValueError: the copy computes something else.
    """
    folded = copy.deepcopy(encoder)
    before = ""
    for name, module in list(folded.named_modules()):
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) and before:
            convolution: Any = folded.get_submodule(before)
            folded.set_submodule(before, fuse_conv_bn_eval(convolution, module))
            folded.set_submodule(name, nn.Identity())
        if next(module.children(), None) is None and next(module.parameters(recurse=False), None) is not None:
            before = name if is_convolution(module) else ""
    if not _alike(encoder, folded):
        raise ValueError("normalisation does not follow its convolution")
    prefer_channels_last(folded)
    return folded


def _alike(one: nn.Module, other: nn.Module) -> bool:
    weight: Any = next((m.weight for m in one.modules() if is_convolution(m)), None)
    if weight is None:
        return True
    size = (32,) * (weight.ndim - 2)
    image = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0)).to(weight)
    with torch.no_grad():
        features, folded = one(image), other(image)
    return bool((features - folded).abs().max() <= 1e-3 * features.abs().max())


def _bfloat16_encoder(encoder: nn.Module) -> Callable[[Tensor], Tensor]:
    try:
        folded = fold(encoder)
        weighted = [module for module in folded.modules() if next(module.parameters(recurse=False), None) is not None]
        if not all(map(is_convolution, weighted)):
            raise ValueError("layers other than convolutions have weights of their own")
    except Exception as error:  # whatever copies or forward passes of other kinds of modules do
        logger.info("the encoder cannot be folded, bfloat16 by autocast instead: %s", error)

        def under_autocast(images: Tensor) -> Tensor:
            with torch.autocast(images.device.type, torch.bfloat16):
                return encoder(images).float()

        return under_autocast
    kept = tuple(f"{part}." for part in getattr(encoder, "float32_parts", ()))
    for name, module in folded.named_modules():
        if is_convolution(module):
            module.register_forward_pre_hook(_to_weight_type)
            if not f"{name}.".startswith(kept):
                module.to(torch.bfloat16)
    return lambda images: folded(images).float()


def _to_weight_type(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (inputs[0].to(dtype=module.weight.dtype),)
