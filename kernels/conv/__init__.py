"""Convolutions in all three directions, pooling and its adjoint; images channels-last, parameters in canonical form.

    stride, dilation    (rows, columns)
    pad                 ((top, bottom), (left, right)), zeros
    mask                None; "A" keeps the taps before the centre in raster order, "B" the centre too (van den Oord et
                        al. 2016, PixelCNN, figure 1)
    colors              how many groups the channels fall into, in order: channel c of C is in group c * colors // C.
                        At the centre tap, mask "A" connects a group to strictly earlier ones, "B" to its own as well.

A convolution costs 2 N H' W' K K C O operations, dead taps and channels not counted: they are left out, not
multiplied by zero, so that not even NaN passes a mask.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from .._kernel import Spec, kernel, like
from .._then import Step, outputs
from .._then import supports as supports

Array = Any
Pair = tuple[int, int]
Pads = tuple[Pair, Pair]

NO_PAD = ((0, 0), (0, 0))


def out_hw(hw: Pair, k: Pair, stride: Pair, pad: Pads, dilation: Pair = (1, 1)) -> Pair:
    """Size of the output for an image of size hw: how many windows fit, per axis (not positive if none does)."""
    rows, columns = (
        (n + sum(p) - d * (size - 1) - 1) // s + 1 for n, size, s, p, d in zip(hw, k, stride, pad, dilation)
    )
    return rows, columns


class Block(NamedTuple):
    """Taps that connect the same channels: w[tap, inputs, outputs] is live for every tap."""

    taps: tuple[Pair, ...]
    inputs: slice
    outputs: slice


@lru_cache(maxsize=256)
def blocks(shape: tuple[int, int, int, int], mask: str | None, colors: int) -> tuple[Block, ...]:
    """The live entries of weights (K, K', C, O), cut into disjoint blocks; the first has all channels.

    Only colours need more than one: their centre tap is triangular, so each colour of the outputs has its own block.
    """
    rows, columns, c, o = shape
    centre = rows // 2, columns // 2
    taps = [(i, j) for i in range(rows) for j in range(columns)]
    if mask is not None:
        taps = [tap for tap in taps if tap < centre or (tap == centre and mask == "B" and colors == 1)]
    found = [Block(tuple(taps), slice(c), slice(o))]
    if colors > 1:
        c_edges, o_edges = ([-(-color * n // colors) for color in range(colors + 1)] for n in (c, o))
        seen = c_edges[1:] if mask == "B" else c_edges[:-1]
        found += [Block((centre,), slice(n), slice(*edges)) for n, *edges in zip(seen, o_edges, o_edges[1:]) if n]
    return tuple(found)


@kernel("y")
def conv2d(
    x: Array, w: Array, *, stride: Pair = (1, 1), pad: Pads = NO_PAD, dilation: Pair = (1, 1),
    mask: str | None = None, colors: int = 1,
) -> Spec:  # fmt: skip
    """Cross-correlation: y[n, i, j, o] = sum of x[n, i s - p + k d, ..., c] w[k, ..., c, o].

    x (N, H, W, C), w (K, K', C, O) -> y (N, H', W', O).
    """
    return Spec((len(x), *out_hw(x.shape[1:3], w.shape[:2], stride, pad, dilation), w.shape[3]), x.dtype)


@kernel("y")
def conv2d_bias_act(
    x: Array, w: Array, b: Array, *, activation: str | None = None, stride: Pair = (1, 1), pad: Pads = NO_PAD,
    dilation: Pair = (1, 1), mask: str | None = None, colors: int = 1,
) -> Spec:  # fmt: skip
    """activation(conv2d(x, w) + b), b (O,).  Bias and relu are done in registers: two passes over y are saved."""
    return conv2d.plan(x, w, stride=stride, pad=pad, dilation=dilation, mask=mask, colors=colors)


@kernel("y", "also")
def conv2d_then(
    x: Array, w: Array, *extras: Array, then: tuple[Step, ...] = (), x_hw: Pair | None = None, stride: Pair = (1, 1),
    pad: Pads = NO_PAD, dilation: Pair = (1, 1), mask: str | None = None, colors: int = 1,
) -> Any:  # fmt: skip
    """`conv2d`, or with x_hw `conv2d_input_grad`, then the steps of `_then.py`: with the bits of the separate kernels.

    bias (channels of y,), other extras like y -> y, and with ("also", activation) a second output like it.
    """
    how: dict[str, Any] = dict(stride=stride, pad=pad, dilation=dilation, mask=mask, colors=colors)
    return outputs(then, conv2d.plan(x, w, **how) if x_hw is None else conv2d_input_grad.plan(x, w, x_hw=x_hw, **how))


@kernel("g_x")
def conv2d_input_grad(
    g: Array, w: Array, *, x_hw: Pair, stride: Pair = (1, 1), pad: Pads = NO_PAD, dilation: Pair = (1, 1),
    mask: str | None = None, colors: int = 1,
) -> Spec:  # fmt: skip
    """The adjoint of `conv2d` in x, also known as transposed convolution.  g (N, H', W', O) -> (N, *x_hw, C)."""
    return Spec((len(g), *x_hw, w.shape[2]), g.dtype)


@kernel("g_w")
def conv2d_weight_grad(
    x: Array, g: Array, *, k: Pair, stride: Pair = (1, 1), pad: Pads = NO_PAD, dilation: Pair = (1, 1),
    mask: str | None = None, colors: int = 1,
) -> Spec:  # fmt: skip
    """The adjoint of `conv2d` in w; exactly zero where the mask is.  x, g (N, H', W', O) -> (*k, C, O)."""
    return Spec((*k, x.shape[3], g.shape[3]), x.dtype)


@kernel("g_w", "g_b")
def conv2d_weight_bias_grad(
    x: Array, g: Array, *, k: Pair, stride: Pair = (1, 1), pad: Pads = NO_PAD, dilation: Pair = (1, 1),
    mask: str | None = None, colors: int = 1,
) -> tuple[Spec, Spec]:  # fmt: skip
    """`conv2d_weight_grad`, and the sum of g over all pixels (O,): g is read once for both."""
    return conv2d_weight_grad.plan(x, g, k=k), Spec(g.shape[3:], g.dtype)


@kernel("y")
def pool2d(x: Array, *, size: Pair, stride: Pair, factor: float) -> Spec:
    """factor times the sum over each window; one that does not fit is dropped.  x (N, H, W, C) -> y (N, H', W', C)."""
    return Spec((len(x), *out_hw(x.shape[1:3], size, stride, NO_PAD), x.shape[3]), x.dtype)


@kernel("g_x")
def pool2d_grad(g: Array, *, x_hw: Pair, size: Pair, stride: Pair, factor: float) -> Spec:
    """The adjoint of `pool2d`: g times factor, added to its window.  g (N, H', W', C) -> (N, *x_hw, C)."""
    return Spec((len(g), *x_hw, g.shape[3]), g.dtype)


@kernel("y")
def max_pool2d(x: Array, v: Array, *, size: Pair, stride: Pair) -> Spec:
    """v at the first largest entry of x in each window, in raster order; NaN is largest.  v = x is max pooling.

    x, v (N, H, W, C) -> y (N, H', W', C).
    """
    return Spec((len(x), *out_hw(x.shape[1:3], size, stride, NO_PAD), x.shape[3]), x.dtype)


@kernel("g_v")
def max_pool2d_grad(x: Array, g: Array, *, size: Pair, stride: Pair) -> Spec:
    """The adjoint of `max_pool2d` in v.  x (N, H, W, C), g (N, H', W', C) -> like x."""
    return like(x)
