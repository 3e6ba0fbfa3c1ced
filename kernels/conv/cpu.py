"""Convolutions as matrix products that gather their rows (implicit GEMM) on the register tile of `_simd.py`.

A pixel of a channels-last image is a row, so a tap is a table of rows, and the forward pass and the input gradient are
one kernel with two tables.  Nothing is padded or unfolded: a tap outside the image reads a row of zeros.  Taps that no
pixel of a tile reaches are not in its list, nor are masked ones.  Where colours cut the centre tap, a convolution is a
sum of several, each dense on a slice of the channels.

Measured on two Zen 4 cores, float32: 205 to 226 GFLOP/s forward, 190 to 205 in the weight gradient, of a peak of 228.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import get_num_threads

from .._epilogue import After, after, finish, finish_rows, flat, no_steps
from .._numba import CHUNK
from .._scratch import scratch
from .._simd import BYTES, ROWS, VECTORS, distance, get, plus, put, rank1, read, run, span, take, width, zeros
from .._units import units
from ..elementwise import cpu as elementwise
from ..matmul import ACTIVATIONS, steps
from ..matmul.cpu import SERIAL, pack
from . import _narrow
from ._geometry import Window, places, table, tiles, windows
from ._pool import max_pool2d as max_pool2d
from ._pool import max_pool2d_grad as max_pool2d_grad
from ._pool import pool2d as pool2d
from ._pool import pool2d_grad as pool2d_grad

Array = Any

GROUP = 32  # tiles in a unit of work: their pixels and one panel of weights stay in the L2 cache
PARTS = 8  # ranges of pixels whose weight gradients are summed apart, then added in order
PART_PIXELS = 512  # at least, in each
PART_ENTRIES = 1 << 22  # at most, in all these sums together
BLOCK_ENTRIES = 1 << 16  # of x and g that a pass over all taps reads again and again: 256 KB in float32


@units
def _pack_weights(unit, w, w_at, w_row, w_column, packed, c, o):
    """One panel of output channels: the matrix of every tap."""
    nr, taps = width(w), w_at.size
    for t in range(taps):
        at, p = w_at[t] + unit * nr * w_column, (unit * taps + t) * c * nr
        pack(w, at, w_row, w_column, c, min(nr, o - unit * nr), packed, p)


@units
def _gather(unit, x, hole, packed, first, tap, row, out, y, c, o, taps, group, after):
    """y[out] = sum over the taps of x[row] w[tap], then `finish`: `group` tiles against one panel."""
    nr = width(x)
    panels, outside = (o + nr - 1) // nr, distance(x, hole)
    start, panel = unit // panels * group, unit % panels
    for t in range(start, min(start + group, first.size - 1)):
        to = take(out, t * ROWS, o, 0)
        acc = zeros(x, to)
        for e in range(first[t], first[t + 1]):
            rows = take(row, e * ROWS, c, outside)
            p = (panel * taps + read(tap, e)) * c * nr
            for i in range(c):
                acc = rank1(acc, x, rows, i, packed, p)
                p += nr
        finish(acc, y, to, panel * nr, o - panel * nr, after)


@units
def _weight_sums(unit, x, g, near, taps, pixels, sums, c, o, parts, groups, block):
    """sums[part, t, i] = sum over the pixels p of a part of x[near[t, p], i] * g[p], with g[p] a row of o.

    One unit: one part for one of `groups` ranges of (tap, channels).  A block of g is packed, the live pixels of each
    tap in it are listed, and every tile of the sums passes over them.
    """
    nr = width(x)
    panels, strips = (o + nr - 1) // nr, (c + ROWS - 1) // ROWS
    tasks = taps * strips
    per_part, per_group = (pixels + parts - 1) // parts, (tasks + groups - 1) // groups
    part, group = unit // groups, unit % groups
    start, stop = part * per_part, min((part + 1) * per_part, pixels)
    packed = np.empty(panels * block * nr, x.dtype)
    x_at, g_at = np.empty(block, np.int64), np.empty(block, np.int64)
    for s in range(start, max(stop, start + 1), block):
        depth = max(min(stop - s, block), 0)
        for panel in range(panels):
            columns = min(nr, o - panel * nr)
            pack(g, s * o + panel * nr, o, 1, depth, columns, packed, panel * block * nr)
        listed, count = -1, 0
        for task in range(group * per_group, min((group + 1) * per_group, tasks)):
            t, new = task // strips, task % strips * ROWS
            i = min(new, c - ROWS)  # the last strip overlaps: its old rows are put where `new` goes, and overwritten
            if t != listed:
                listed, count = t, 0
                for p in range(depth):
                    pixel = read(near, t * pixels + s + p)
                    if pixel >= 0:
                        x_at[count], g_at[count] = pixel * c, p * nr
                        count += 1
            rows, to = run(i), span(i, new, c, o)
            for panel in range(panels):
                acc = zeros(x, rows)
                for k in range(count):
                    acc = rank1(acc, x, rows, read(x_at, k), packed, panel * block * nr + read(g_at, k))
                at = (part * taps + t) * c * o + panel * nr
                if s > start:
                    acc = plus(get(sums, to, at, o - panel * nr), acc)
                put(acc, sums, to, at, o - panel * nr)


@units
def _add_parts(row, sums, w_at, g_w, c, o, parts):
    """g_w[w_at[t] + i] = sum over parts, in order, of sums[part, t, i]: one row of o."""
    to, size = w_at[row // c] + row % c * o, w_at.size * c * o
    for i in range(o):
        total = sums[row * o + i]
        for part in range(1, parts):
            total += sums[part * size + row * o + i]
        g_w[to + i] = total


@lru_cache(maxsize=64)
def _hole(c: int, dtype: np.dtype) -> Array:
    """The pixel that a tap outside the image reads."""
    return np.zeros(c, dtype)


def _dense(x: Array, w: Array, y: Array, window: Window, then: After, *, adjoint: bool) -> None:
    """y = the convolution of x, or its adjoint, then the steps."""
    c, o, taps = x.shape[3], y.shape[3], len(window.taps)
    if min(c, o) < _narrow.NARROW:
        _narrow.correlate(x, w, y, window, then, adjoint=adjoint)
        return
    cut, at = tiles(window, adjoint), places(window, c * o)
    count, panels = len(cut.first) - 1, -(-o * x.itemsize // (BYTES * VECTORS))
    serial = cut.row.size * c * o <= SERIAL
    group = GROUP if serial else max(1, min(GROUP, count * panels // (4 * get_num_threads())))
    packed = scratch("weights", panels * taps * c * (BYTES * VECTORS // x.itemsize), x.dtype)
    move = (1, c) if adjoint else (o, 1)  # from row to row of a tap's matrix, and from column to column
    _pack_weights(packed.size <= CHUNK, panels, flat(w), at, *move, packed, c, o)
    hole = _hole(c, x.dtype)
    _gather(serial, panels * -(-count // group), flat(x), hole, packed, *cut, flat(y), c, o, taps, group, then)


def _correlate(
    x: Array, w: Array, y: Array, parts: list[tuple[Window, slice, slice]], then: After | None = None, *, adjoint: bool
) -> None:
    """y = the sum of the dense convolutions, or of their adjoints, then the steps; the first has all channels."""
    (whole, *_), *rest = parts
    nothing = no_steps(y.dtype)
    _dense(x, w, y, whole, nothing if rest else then or nothing, adjoint=adjoint)
    for window, inputs, outputs in rest:
        source, to = (outputs, inputs) if adjoint else (inputs, outputs)
        some = y[..., to]
        part = scratch("part", some.size, y.dtype).reshape(some.shape)
        _dense(x[..., source], w[:, :, inputs, outputs], part, window, nothing, adjoint=adjoint)
        some += part
    if rest and then is not None:
        finish_rows(y, then)


def conv2d(x, w, y, *, stride, pad, dilation, mask, colors):
    _correlate(x, w, y, windows(x.shape, w.shape, stride, pad, dilation, mask, colors), adjoint=False)


def conv2d_bias_act(x, w, b, y, *, activation, stride, pad, dilation, mask, colors):
    parts, then = windows(x.shape, w.shape, stride, pad, dilation, mask, colors), steps(activation)
    _correlate(x, w, y, parts, after(then, (b, y))[1], adjoint=False)
    if activation is not None and len(then) == 1:
        getattr(elementwise, activation)(y, y, **ACTIVATIONS[activation])


def conv2d_input_grad(g, w, g_x, *, x_hw, stride, pad, dilation, mask, colors):
    _correlate(g, w, g_x, windows(g_x.shape, w.shape, stride, pad, dilation, mask, colors), adjoint=True)


def conv2d_then(x, w, *rest, then, x_hw, stride, pad, dilation, mask, colors):
    y, arguments = after(then, rest)
    image = x if x_hw is None else y
    parts = windows(image.shape, w.shape, stride, pad, dilation, mask, colors)
    _correlate(x, w, y, parts, arguments, adjoint=x_hw is not None)


def _dense_weight_grad(x: Array, g: Array, g_w: Array, window: Window) -> None:
    """The live taps of g_w; the others are left as they are."""
    c, o = g_w.shape[2:]
    if min(c, o) < _narrow.NARROW:
        _narrow.weight_grad(x, g, g_w, window)
        return
    near = table(window, False)
    taps, pixels = near.shape
    size = taps * c * o
    serial = pixels * size <= SERIAL
    parts = max(1, min(PARTS, pixels // PART_PIXELS, PART_ENTRIES // max(size, 1)))
    # any number of groups gives the same bits
    groups = 1 if serial else max(1, min(-(-get_num_threads() // parts), taps * -(-c // ROWS)))
    sums = scratch("sums", parts * size, x.dtype)
    _weight_sums(
        serial, parts * groups, flat(x), flat(g), near.ravel(), taps, pixels, sums, c, o, parts, groups,
        max(ROWS, BLOCK_ENTRIES // (c + o)),
    )  # fmt: skip
    _add_parts(serial, taps * c, sums, places(window, c * o), flat(g_w), c, o, parts)


def conv2d_weight_grad(x, g, g_w, *, k, stride, pad, dilation, mask, colors):
    (whole, *_), *rest = windows(x.shape, g_w.shape, stride, pad, dilation, mask, colors)
    if mask is not None:
        g_w[...] = 0
    _dense_weight_grad(x, g, g_w, whole)
    for window, inputs, outputs in rest:
        some = g_w[:, :, inputs, outputs]
        part = np.zeros(some.shape, g_w.dtype)
        _dense_weight_grad(x[..., inputs], g[..., outputs], part, window)
        some += part
