"""The specification of convolutions and pooling: one line of NumPy per tap of the window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._then import follow
from ..elementwise import reference as elementwise
from ..matmul import ACTIVATIONS
from . import Pads, Pair, blocks

Array = Any


def taps(hw: Pair, k: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """(i, j, index): tap (i, j) of an output of size hw reads `padded[index]`."""
    for i in range(k[0]):
        for j in range(k[1]):
            starts = i * dilation[0], j * dilation[1]
            yield i, j, (slice(None), *(slice(a, a + n * s, s) for a, n, s in zip(starts, hw, stride)))


def links(
    hw: Pair, shape: tuple[int, int, int, int], stride: Pair, dilation: Pair, mask: str | None, colors: int
) -> Iterator[tuple[tuple[int, int, slice, slice], tuple[slice, ...]]]:
    """((i, j, c, o), index): these weights are live, and take `padded[index]` to channels o of an output of size hw."""
    reads = {(i, j): index for i, j, index in taps(hw, shape[:2], stride, dilation)}
    for block in blocks(shape, mask, colors):
        for i, j in block.taps:
            yield (i, j, block.inputs, block.outputs), (*reads[i, j], block.inputs)


def padded(x: Array, pad: Pads) -> Array:
    return np.pad(x, ((0, 0), *pad, (0, 0)))


def conv2d(x, w, y, *, stride, pad, dilation, mask, colors):
    x = padded(x, pad)
    y[...] = 0
    for link, seen in links(y.shape[1:3], w.shape, stride, dilation, mask, colors):
        y[..., link[3]] += x[seen] @ w[link]


def conv2d_bias_act(x, w, b, y, *, activation, stride, pad, dilation, mask, colors):
    conv2d(x, w, y, stride=stride, pad=pad, dilation=dilation, mask=mask, colors=colors)
    y += b
    if activation is not None:
        getattr(elementwise, activation)(y.copy(), y, **ACTIVATIONS[activation])


def conv2d_input_grad(g, w, g_x, *, x_hw, stride, pad, dilation, mask, colors):
    whole = padded(np.zeros_like(g_x), pad)
    for link, seen in links(g.shape[1:3], w.shape, stride, dilation, mask, colors):
        whole[seen] += g[..., link[3]] @ w[link].T
    (top, _), (left, _) = pad
    g_x[...] = whole[:, top : top + x_hw[0], left : left + x_hw[1]]


def conv2d_then(x, w, *rest, then, x_hw, **how):
    z = np.empty_like(rest[-1])
    if x_hw is None:
        conv2d(x, w, z, **how)
    else:
        conv2d_input_grad(x, w, z, x_hw=x_hw, **how)
    follow(then, z, rest, elementwise)


def conv2d_weight_grad(x, g, g_w, *, k, stride, pad, dilation, mask, colors):
    x = padded(x, pad)
    g_w[...] = 0
    for link, seen in links(g.shape[1:3], g_w.shape, stride, dilation, mask, colors):
        g_w[link] = np.einsum("nhwc,nhwo->co", x[seen], g[..., link[3]])


def conv2d_weight_bias_grad(x, g, g_w, g_b, **how):
    conv2d_weight_grad(x, g, g_w, **how)
    g_b[...] = g.sum(axis=(0, 1, 2))


def pool2d(x, y, *, size, stride, factor):
    y[...] = 0
    for _, _, window in taps(y.shape[1:3], size, stride):
        y += x[window]
    y *= factor


def pool2d_grad(g, g_x, *, x_hw, size, stride, factor):
    g_x[...] = 0
    for _, _, window in taps(g.shape[1:3], size, stride):
        g_x[window] += g * g.dtype.type(factor)


def first_largest(x: Array, hw: Pair, size: Pair, stride: Pair) -> Array:
    """Which tap of each window is the first largest: 0, 1, ... in raster order."""
    return np.argmax([x[window] for _, _, window in taps(hw, size, stride)], axis=0)


def max_pool2d(x, v, y, *, size, stride):
    which = first_largest(x, y.shape[1:3], size, stride)
    for i, j, window in taps(y.shape[1:3], size, stride):
        np.copyto(y, v[window], where=which == i * size[1] + j)


def max_pool2d_grad(x, g, g_v, *, size, stride):
    which = first_largest(x, g.shape[1:3], size, stride)
    g_v[...] = 0
    for i, j, window in taps(g.shape[1:3], size, stride):
        g_v[window] += g * (which == i * size[1] + j)
