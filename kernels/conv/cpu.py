"""Convolutions as matrix products that gather their rows (implicit GEMM) on the register tile of `_simd.py`.

A pixel of a channels-last image is a row, so a tap is a table of rows, and the forward pass and the input gradient are
one kernel with two tables.  Nothing is padded or unfolded: a tap outside the image reads a row of zeros.  Taps that no
pixel of a tile reaches are not in its list, nor are masked ones.  Where colours cut the centre tap, a convolution is a
sum of several, each dense on a slice of the channels.

Measured on a Zen 4 core, float32, peak 117 GFLOP/s: 105 to 110 for 3x3 on 64 channels in all three directions, 80 to 96
for 1x1 on 64 and 128, whose images come from beyond the caches.  What the next tile reads and writes is therefore asked
for while this one is summed: without that, 1x1 runs at 60 to 80.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import get_num_threads

from .._epilogue import After, after, finish, finish_rows, flat, foresee, no_steps
from .._numba import CHUNK
from .._prepared import effect, prepared, unprepared
from .._scratch import scratch
from .._simd import (
    BYTES,
    ROWS,
    VECTORS,
    distance,
    get,
    line,
    plus,
    prefetch,
    put,
    rank1,
    read,
    run,
    span,
    take,
    width,
    zeros,
)
from .._units import units
from ..elementwise import cpu as elementwise
from ..matmul import ACTIVATIONS, steps
from ..matmul.cpu import AHEAD, SERIAL, add_columns, aligned, pack
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
BLOCK_PIXELS = 1024  # at most, in a pass over all taps; each pass reads and writes the sums once
BLOCK_ENTRIES = 1 << 16  # of g at most in a pass: 256 KB in float32, read again and again


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
        foresee(y, to, panel * nr, after)
        for e in range(first[t], first[t + 1]):
            rows, soon = take(row, e * ROWS, c, outside), take(row, min(e + 1, tap.size - 1) * ROWS, c, outside)
            p = (panel * taps + read(tap, e)) * c * nr
            for s in range(0, c, line(x)):
                prefetch(x, soon, s)
                for i in range(s, min(s + line(x), c)):
                    acc = rank1(acc, x, rows, i, packed, p)
                    p += nr
        finish(acc, y, to, panel * nr, o - panel * nr, after)


@units
def _weight_sums(unit, x, g, near, taps, pixels, sums, totals, c, o, parts, groups, block):
    """sums[part, t, i] = sum over the pixels p of a part of x[near[t, p], i] * g[p], with g[p] a row of o.

    One unit: one part for one of `groups` ranges of (tap, channels).  A block of g is packed, the live pixels of each
    tap in it are listed, and every tile of the sums passes over them.  totals: empty, or for each part the sum of g[p].
    """
    nr = width(x)
    panels, strips = (o + nr - 1) // nr, (c + ROWS - 1) // ROWS
    tasks = taps * strips
    per_part, per_group = (pixels + parts - 1) // parts, (tasks + groups - 1) // groups
    part, group = unit // groups, unit % groups
    start, stop = part * per_part, min((part + 1) * per_part, pixels)
    packed = aligned(panels * block * nr, x)
    x_at, g_at = np.zeros(block + AHEAD, np.int64), np.empty(block, np.int64)
    for s in range(start, max(stop, start + 1), block):
        depth = max(min(stop - s, block), 0)
        for panel in range(panels):
            columns = min(nr, o - panel * nr)
            pack(g, s * o + panel * nr, o, 1, depth, columns, packed, panel * block * nr)
            if group == 0 and totals.size > 0:
                add_columns(packed, panel * block * nr, depth, totals, part * o + panel * nr, columns, s == start)
        # the next block of g is brought near meanwhile, a line for every four pixels
        soon, last = (s + depth) * o, min(s + depth + block, pixels) * o
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
                acc, at = zeros(x, rows), (part * taps + t) * c * o + panel * nr
                prefetch(sums, to, at)
                prefetch(sums, to, at + nr // 2)
                for k in range(count):
                    prefetch(x, (i,), read(x_at, k + AHEAD))
                    if k % 4 == 0:
                        prefetch(g, (0,), soon)
                        soon = min(soon + line(x), last)
                    acc = rank1(acc, x, rows, read(x_at, k), packed, panel * block * nr + read(g_at, k))
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
        unprepared()
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
        unprepared()
        some = y[..., to]
        part = scratch("part", some.size, y.dtype).reshape(some.shape)
        _dense(x[..., source], w[:, :, inputs, outputs], part, window, nothing, adjoint=adjoint)
        some += part
    if rest and then is not None:
        finish_rows(y, then)


@prepared
def conv2d(x, w, y, *, stride, pad, dilation, mask, colors):
    _correlate(x, w, y, windows(x.shape, w.shape, stride, pad, dilation, mask, colors), adjoint=False)


@prepared
def conv2d_bias_act(x, w, b, y, *, activation, stride, pad, dilation, mask, colors):
    parts, then = windows(x.shape, w.shape, stride, pad, dilation, mask, colors), steps(activation)
    _correlate(x, w, y, parts, after(then, (b, y))[1], adjoint=False)
    if activation is not None and len(then) == 1:
        unprepared()
        getattr(elementwise, activation)(y, y, **ACTIVATIONS[activation])


@prepared
def conv2d_input_grad(g, w, g_x, *, x_hw, stride, pad, dilation, mask, colors):
    _correlate(g, w, g_x, windows(g_x.shape, w.shape, stride, pad, dilation, mask, colors), adjoint=True)


@prepared
def conv2d_then(x, w, *rest, then, x_hw, stride, pad, dilation, mask, colors):
    y, arguments = after(then, rest)
    image = x if x_hw is None else y
    parts = windows(image.shape, w.shape, stride, pad, dilation, mask, colors)
    _correlate(x, w, y, parts, arguments, adjoint=x_hw is not None)


def _dense_weight_grad(x: Array, g: Array, g_w: Array, g_b: Array | None, window: Window) -> None:
    """The live taps of g_w, the others are left as they are; and g_b, the sum of g over all pixels."""
    c, o = g_w.shape[2:]
    if min(c, o) < _narrow.NARROW:
        unprepared()
        _narrow.weight_grad(x, g, g_w, g_b, window)
        return
    near = table(window, False)
    taps, pixels = near.shape
    size = taps * c * o
    serial = pixels * size <= SERIAL
    parts = max(1, min(PARTS, pixels // PART_PIXELS, PART_ENTRIES // max(size, 1)))
    # any number of groups gives the same bits
    groups = 1 if serial else max(1, min(-(-get_num_threads() // parts), taps * -(-c // ROWS)))
    sums, totals = scratch("sums", parts * size, x.dtype), scratch("totals", parts * o * (g_b is not None), x.dtype)
    _weight_sums(
        serial, parts * groups, flat(x), flat(g), near.ravel(), taps, pixels, sums, totals, c, o, parts, groups,
        max(ROWS, min(BLOCK_ENTRIES // o, BLOCK_PIXELS)),
    )  # fmt: skip
    _add_parts(serial, taps * c, sums, places(window, c * o), flat(g_w), c, o, parts)
    if g_b is not None:
        effect(np.add.reduce, totals.reshape(parts, o), 0, None, g_b)


def _weight_grad(x: Array, g: Array, g_w: Array, g_b: Array | None, parts: list[tuple[Window, slice, slice]]) -> None:
    """The sum of the dense weight gradients, and g_b."""
    (whole, *_), *rest = parts
    if len(whole.taps) < whole.k[0] * whole.k[1]:
        effect(g_w.fill, 0)
    _dense_weight_grad(x, g, g_w, g_b, whole)
    for window, inputs, outputs in rest:
        unprepared()
        some = g_w[:, :, inputs, outputs]
        part = np.zeros(some.shape, g_w.dtype)
        _dense_weight_grad(x[..., inputs], g[..., outputs], part, None, window)
        some += part


@prepared
def conv2d_weight_grad(x, g, g_w, *, k, stride, pad, dilation, mask, colors):
    _weight_grad(x, g, g_w, None, windows(x.shape, g_w.shape, stride, pad, dilation, mask, colors))


@prepared
def conv2d_weight_bias_grad(x, g, g_w, g_b, *, k, stride, pad, dilation, mask, colors):
    _weight_grad(x, g, g_w, g_b, windows(x.shape, g_w.shape, stride, pad, dilation, mask, colors))
