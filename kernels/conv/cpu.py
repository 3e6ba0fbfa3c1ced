"""Convolutions as matrix products that gather their rows (implicit GEMM) on the register tile of `_simd.py`.

A pixel of a channels-last image is a row, so a tap is a table of rows, and the forward pass and the input gradient are
one kernel with two tables.  Nothing is padded or unfolded: a tap outside the image reads a row of zeros.  Taps that no
pixel of a tile reaches are not in its list, nor are masked ones.  Where colours cut the centre tap, a convolution is a
sum of several, each dense on a slice of the channels.

Measured on a Zen 4 core, float32, peak 117 GFLOP/s: 110 to 113 for 3x3 on 64 channels in all three directions, 90 to
106 for 1x1 on 64 and 128, and 70 to 80 where four images of an epilogue come from beyond the caches.  What the next
tile reads and writes is therefore asked for while this one is summed, little by little: all at once, those run at 50.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._epilogue import After, after, finish, finish_rows, flat, foresee, no_steps
from .._numba import CHUNK
from .._pool import get_num_threads
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
from ..matmul.cpu import AHEAD, SERIAL, add_columns, aligned, pack_rows
from . import _narrow
from ._geometry import Window, hole, places, table, tiles, windows
from ._pool import max_pool2d as max_pool2d
from ._pool import max_pool2d_grad as max_pool2d_grad
from ._pool import pool2d as pool2d
from ._pool import pool2d_grad as pool2d_grad
from ._weights import Sums, pack_weights

Array = Any

GROUP = 32  # tiles in a unit of work: their pixels and one panel of weights stay in the L2 cache
WEIGHTS = 1 << 18  # bytes: where all panels together take no more, a tile is summed against each before the next one


@units
def _gather(unit, x, hole, packed, first, tap, row, out, y, c, o, taps, group, wide, after):
    """y[out] = sum over the taps of x[row] w[tap], then `finish`: `group` tiles against `wide` panels.

    What the next tile will read and write is asked for bit by bit: a machine keeps some twenty lines on their way,
    and waits where more are asked for at once.
    """
    nr = width(x)
    panels, outside = (o + nr - 1) // nr, distance(x, hole)
    start, panel = unit // (panels // wide) * group, unit % (panels // wide) * wide
    ahead = (ROWS * line(x) + c - 1) // max(c, 1)  # rows of the next tile for every line of channels
    for task in range(start * wide, min(start + group, first.size - 1) * wide):
        t, column = task // wide, (panel + task % wide) * nr
        to, soon_to = take(out, t * ROWS, o, 0), min(t + 1, first.size - 2) * ROWS
        until = soon_to + ROWS
        acc = zeros(x, to)
        for e in range(first[t], first[t + 1]):
            rows, soon = take(row, e * ROWS, c, outside), take(row, min(e + 1, tap.size - 1) * ROWS, c, outside)
            p = (column // nr * taps + read(tap, e)) * c * nr
            for s in range(0, c, line(x)):
                prefetch(x, soon, s)
                for r in range(soon_to, min(soon_to + ahead, until)):
                    foresee(y, (read(out, r) * o,), column, after)
                soon_to += ahead
                for i in range(s, min(s + line(x), c)):
                    acc = rank1(acc, x, rows, i, packed, p)
                    p += nr
        finish(acc, y, to, column, o - column, after)


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
            pack_rows(g, s * o + panel * nr, o, depth, columns, packed, panel * block * nr)
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


def _dense(x: Array, w: Array, y: Array, window: Window, then: After, *, adjoint: bool) -> None:
    """y = the convolution of x, or its adjoint, then the steps."""
    c, o, taps = x.shape[3], y.shape[3], len(window.taps)
    if _narrow.narrow(c, o):
        _narrow.correlate(x, w, y, window, then, adjoint=adjoint)
        return
    cut, at = tiles(window, adjoint), places(window, c * o)
    count, panels = len(cut.first) - 1, -(-o * x.itemsize // (BYTES * VECTORS))
    serial = cut.row.size * c * o <= SERIAL
    packed = scratch("weights", panels * taps * c * (BYTES * VECTORS // x.itemsize), x.dtype)
    wide = max(1, panels) if packed.nbytes <= WEIGHTS else 1
    group = GROUP if serial else max(1, min(GROUP, count * panels // wide // (4 * get_num_threads())))
    move = (1, c) if adjoint else (o, 1)  # from row to row of a tap's matrix, and from column to column
    pack_weights(packed.size <= CHUNK, panels, flat(w), at, *move, packed, c, o)
    many = panels // wide * -(-count // group)
    _gather(serial, many, flat(x), hole(c, x.dtype), packed, *cut, flat(y), c, o, taps, group, wide, then)


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
    if _narrow.narrow(c, o):
        _narrow.weight_grad(x, g, g_w, g_b, window)
        return
    near = table(window, False)
    taps, pixels = near.shape
    sums = Sums(pixels, taps, c, o, taps * -(-c // ROWS), g_b, x.dtype)
    _weight_sums(
        sums.serial, sums.parts * sums.groups, flat(x), flat(g), near.ravel(), taps, pixels,
        sums.sums, sums.totals, c, o, sums.parts, sums.groups, sums.block,
    )  # fmt: skip
    sums.add(places(window, c * o), o, 1, flat(g_w))


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
