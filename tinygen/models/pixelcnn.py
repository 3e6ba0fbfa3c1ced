"""PixelCNN (van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel Recurrent Neural Networks", section 3).

    p(x) = prod_i p(x_i | x_1, ..., x_{i-1}),   pixels in raster order, within a pixel colour by colour

One 7x7 convolution with mask A, residual blocks with a 3x3 mask B, two 1x1 layers, then a Bernoulli or a K-way softmax
for every entry.  (Masking leaves the paper's blind spot: a wedge of pixels above right is never seen.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from .. import nn, ops
from ..errors import ArgumentError, ShapeError, shape_text
from ..kernels._devices import moved
from ..modes import no_grad
from ..random import Key
from ..tensor import Array, Tensor
from . import pixelcnn_sampling as sampling
from .model import DataSpec, Model
from .preprocess import binarize, unit


class Block(nn.Module):
    """Figure 5: 2h -> h by 1x1, h -> h by 3x3, h -> 2h by 1x1, each after a relu and with mask B; plus the input."""

    def __init__(self, h: int, *, colors: int, key: Key):
        self.down = nn.MaskedConv2d("B", 2 * h, h, 1, colors=colors, activation="relu", key=key.fold_in("down"))
        self.mix = nn.MaskedConv2d("B", h, h, 3, colors=colors, activation="relu", key=key.fold_in("mix"))
        self.up = nn.MaskedConv2d("B", h, 2 * h, 1, colors=colors, key=key.fold_in("up"))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(self.mix(self.down(ops.relu(x))))


class PixelCNN(Model):
    """A PixelCNN for images (H, W, C) with `levels` grey levels.

    likelihood  "categorical": softmax over the levels.  "bernoulli": for binary data; grey ones are binarised anew at
                every look.
    channels    h: activations have 2h channels (a multiple of C).
    blocks      the number of residual blocks.
    head        the width of the two 1x1 layers at the end (a multiple of C); 2h unless given.
    """

    monitor: ClassVar[str | None] = "nll_nats"

    def __init__(
        self,
        shape: Sequence[int],
        *,
        levels: int = 2,
        likelihood: str | None = None,
        channels: int = 64,
        blocks: int = 7,
        head: int | None = None,
        dropout: float = 0.0,
        key: Key,
    ):
        if len(shape) != 3:
            raise ArgumentError(f"PixelCNN: shape must be (H, W, C), got {tuple(shape)}.")
        self.shape = tuple(shape)
        likelihood = likelihood or ("bernoulli" if levels == 2 else "categorical")
        if likelihood not in ("bernoulli", "categorical"):
            raise ArgumentError(f"PixelCNN: likelihood must be 'bernoulli' or 'categorical', got {likelihood!r}.")
        self.levels = levels
        self.binary = likelihood == "bernoulli"
        colors = self.shape[2]
        head = head or 2 * channels
        if channels % colors or head % colors:
            raise ArgumentError(
                f"PixelCNN: channels {channels} and head {head} must be multiples of the {colors} colours."
            )
        per_entry = 1 if self.binary else levels
        self.first = nn.MaskedConv2d("A", colors, 2 * channels, 7, colors=colors, key=key.fold_in("first"))
        self.blocks = [Block(channels, colors=colors, key=key.fold_in("block").fold_in(i)) for i in range(blocks)]
        self.dropout = nn.Dropout(dropout)
        self.head = nn.MaskedConv2d(
            "B", 2 * channels, head, 1, colors=colors, activation="relu", key=key.fold_in("head")
        )
        self.last = nn.MaskedConv2d("B", head, colors * per_entry, 1, colors=colors, key=key.fold_in("last"))

    @classmethod
    def settings_for(cls, data: DataSpec) -> dict[str, Any]:
        if data.kind != "image" or data.levels is None:
            raise ArgumentError(f"PixelCNN: needs images with grey levels, not {data.kind} data.")
        likelihood = "bernoulli" if data.levels == 2 else "categorical"
        h = 66 if data.shape[2] == 3 else 64  # a multiple of the colours
        return {"shape": list(data.shape), "levels": data.levels, "likelihood": likelihood, "channels": h, "blocks": 7,
                "head": None, "dropout": 0.0}  # fmt: skip

    def logits(self, x: Tensor, *, key: Key | None = None) -> Tensor:
        """x (N, H, W, C), integers as floats -> (N, H, W, C) Bernoulli logits, or (N, H, W, C, levels)."""
        h = self.first(unit(x, 2 if self.binary else self.levels) * 2 - 1)
        for block in self.blocks:
            h = block(h)
        h = self.head(ops.relu(self.dropout(h, key=key)))
        h = self.last(h)
        return h if self.binary else ops.reshape(h, shape=(*x.shape, self.levels))

    def prepare(self, x: Array | Tensor, *, key: Key | None = None) -> Tensor:
        """Stored integers as floats, binarised where the likelihood is Bernoulli and they are grey (needs the key)."""
        g = self.float_batch(x, self.shape)
        return binarize(g, self.levels, key=key) if self.binary else g

    def log_prob(self, x: Array | Tensor, *, key: Key | None = None) -> Tensor:
        """log p(x), nats, (N,): exact.  A key is needed to binarise grey data, and in training for dropout."""
        g = self.prepare(x, key=None if key is None else key.fold_in("data"))
        logits = self.logits(g, key=key)
        if self.binary:
            return ops.bernoulli_log_prob(g, logits, event_ndim=3)
        return ops.categorical_log_prob(ops.cast(g, dtype="int64"), logits, event_ndim=3)

    def loss(self, x: Array | Tensor, *, key: Key | None = None) -> Tensor:
        """The mean negative log-likelihood, nats per image."""
        return -ops.mean(self.log_prob(x, key=key))

    def evaluate(self, x: Array, *, key: Key) -> dict[str, Tensor]:
        """nll_nats, exact."""
        with no_grad():
            return {"nll_nats": -self.log_prob(x, key=key)}

    def sample(self, n: int, *, key: Key, start: Array | None = None, cached: bool = True) -> Tensor:
        """n images, entries in [0, 1], drawn entry by entry; entries of `start` (n, H, W, C) that are >= 0 are kept.

        start: grey levels.  Only what a new entry changes is computed, unless `cached` is False: then the whole network
        runs for every entry, as the definition says, with the same draws from the same key.
        """
        given = np.full((n, *self.shape), -1.0) if start is None else np.asarray(start)
        if given.shape != (n, *self.shape):
            want = shape_text((n, *self.shape))
            raise ShapeError(f"PixelCNN.sample: start has shape {shape_text(given.shape)}. Pass {want}.")
        x = np.where(given >= 0, given, -1.0).astype(self.dtype)
        training, _ = self.training, self.eval()
        try:
            with no_grad():
                if cached:
                    y, _ = sampling.cached(self, moved(x, self.device), key=key)
                else:
                    y = moved(sampling.naive(self, x, key=key), self.device)
                return unit(Tensor(y), 2 if self.binary else self.levels)
        finally:
            self.train(training)
