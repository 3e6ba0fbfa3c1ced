"""Drawing images from a PixelCNN: the definition, and the same with every number computed once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .. import kernels, ops
from ..kernels.causal import Op
from ..nn import MaskedConv2d
from ..random import Key
from ..tensor import Array, Tensor

if TYPE_CHECKING:
    from .pixelcnn import PixelCNN


def naive(model: PixelCNN, x: Array, *, key: Key) -> Array:
    """The definition: run the network for every entry, on the rows drawn so far.

    x (N, H, W, C) of the model's dtype, in NumPy: grey levels; entries below 0 are drawn, the others kept -> the same.
    """
    kept, x = x >= 0, np.maximum(x, 0)
    for e, (i, j, c) in enumerate(np.ndindex(model.shape)):
        if not kept[:, i, j, c].all():
            logits = model.logits(Tensor(x[:, : i + 1]).to(model.device))[:, i, j, c]
            if model.binary:
                drawn = ops.bernoulli(ops.sigmoid(logits), key=key.fold_in(e))
            else:
                drawn = ops.categorical(logits, key=key.fold_in(e))
            x[:, i, j, c] = np.where(kept[:, i, j, c], x[:, i, j, c], drawn.numpy())
    return x


def cached(model: PixelCNN, x: Array, *, key: Key, logits: bool = False) -> tuple[Array, Array]:
    """What `naive` draws, from the same keys, by one kernel that computes only what a new entry changes.

    x as there, on the model's device.
    The sums are those of the network, in the same order up to the last layer's; see `kernels/causal`.
    Returns the images, and with `logits` the logits by which each entry was drawn, as `model.logits` shapes them.
    """
    net, layers = network(model)
    weights = [p.data for layer in layers for p in (layer.weight, layer.bias) if p is not None]
    n, levels = len(x), 2 if model.binary else model.levels
    kind = x.dtype if model.binary else np.dtype(np.float64)  # as the ops that `naive` calls draw
    u = kernels.random.uniforms(key.data, n=math.prod(model.shape), size=n, dtype=kind)
    scale = 2 * (1.0 / (levels - 1))  # what the network sees is in [-1, 1]
    y, seen = kernels.causal.sample(x, u, *weights, net=net, scale=scale, shift=-1.0, logits=logits)
    return y, seen if model.binary else seen.reshape(len(seen), *model.shape, model.levels)


def network(model: PixelCNN) -> tuple[tuple[Op, ...], list[MaskedConv2d]]:
    """The model's forward pass without dropout, line by line, and the layers whose weights it takes in this order."""
    net: list[Op] = []
    layers: list[MaskedConv2d] = []

    def value(kind: str, *inputs: int, mask: str | None = None) -> int:
        net.append(Op(kind, inputs, mask))
        return len(net)

    def convolve(layer: MaskedConv2d, v: int) -> int:
        layers.append(layer)
        v = value("conv", v, mask=layer.geometry["mask"])
        return v if layer.activation is None else value(layer.activation, v)

    h = convolve(model.first, 0)
    for block in model.blocks:
        inner = value("relu", h)
        for layer in (block.down, block.mix, block.up):
            inner = convolve(layer, inner)
        h = value("add", h, inner)
    convolve(model.last, convolve(model.head, value("relu", h)))
    return tuple(net), layers
