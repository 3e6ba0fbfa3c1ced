"""Convolutions as matrix products that gather their rows (implicit GEMM) on the register tile of `_simd.py`.

A pixel of a channels-last image is a row, so a tap is a table of rows, and the forward pass and the input gradient are
one kernel with two tables.  Nothing is padded or unfolded: a tap outside the image reads a row of zeros.  Taps that no
pixel of a tile reaches are not in its list, nor are masked ones.

With a handful of channels on one side (NARROW) those loops are too short to be worth their set-up; the narrow side is
then unfolded, tap by tap, and the rest is one dense product.

Measured on two Zen 4 cores, float32: 205 to 226 GFLOP/s, forward and backward, of a peak of 228.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import get_num_threads

from .._numba import pjit, prange
from .._simd import BYTES, ROWS, VECTORS, add, at_least, distance, fill, put, rank1, read, span, take, width
from ..elementwise import cpu as elementwise
from ..matmul import ACTIVATIONS
from ..matmul.cpu import U, flat, pack, product
from . import Pair, live
from ._geometry import Window, layout, live_taps, table, tiles
from ._pool import max_pool2d as max_pool2d
from ._pool import max_pool2d_grad as max_pool2d_grad
from ._pool import pool2d as pool2d
from ._pool import pool2d_grad as pool2d_grad

Array = Any

NARROW = 8  # channels
GROUP = 32  # tiles in a unit of work: their pixels and one panel of weights stay in the L2 cache
PARTS = 8  # ranges of pixels whose weight gradients are summed apart, in an order of their own
PART_PIXELS = 512  # at least, in each
PART_ENTRIES = 1 << 22  # at most, in all these sums together
BLOCK_ENTRIES = 1 << 16  # of x and g that a pass over all taps reads again and again: 256 KB in float32


@pjit
def _gather(x, zeros, w, w_at, w_row, w_column, bias, floor, first, tap, row, out, y, c, o, group):
    """y[out] = max(bias + sum over the taps of x[row] w[tap], floor).

    One unit: `group` tiles against one panel of output channels.
    """
    nr = width(x)
    panels, taps, tiles = (o + nr - 1) // nr, w_at.size, first.size - 1
    size = (1 + taps * c) * nr  # of a panel; its first row is what tiles start from
    packed = np.empty(panels * size, x.dtype)
    for unit in prange(panels * taps):
        panel, t = unit // taps, unit % taps
        columns = min(nr, o - panel * nr)
        at = w_at[t] + panel * nr * w_column
        pack(w, at, w_row, w_column, c, columns, packed, panel * size + (1 + t * c) * nr)
    for j in range(panels * nr):
        packed[j // nr * size + j % nr] = bias[j] if j < o else 0
    hole = distance(x, zeros)
    for unit in prange(panels * ((tiles + group - 1) // group)):
        start, panel = unit // panels * group, unit % panels
        for t in range(start, min(start + group, tiles)):
            to = take(out, t * ROWS, o, 0)
            acc = fill(packed, panel * size, to)
            for e in range(first[t], first[t + 1]):
                rows = take(row, e * ROWS, c, hole)
                p = panel * size + (1 + read(tap, e) * c) * nr
                for i in range(c):
                    acc = rank1(acc, x, rows, i, packed, p)
                    p += nr
            put(at_least(acc, floor), y, to, panel * nr, o - panel * nr)


@pjit
def _weight_sums(x, g, near, taps, pixels, sums, c, o, parts, groups, block):
    """sums[part, t, i] = sum over the pixels p of the part of x[near[t, p], i] * g[p], with g[p] a row of o.

    One unit: one part for one of `groups` ranges of (tap, channels).  A block of g is packed, the live pixels of each
    tap in it are listed, and every tile of the sums takes one pass over them.
    """
    nr = width(x)
    panels, strips = (o + nr - 1) // nr, (c + ROWS - 1) // ROWS
    tasks = taps * strips
    per_part, per_group = (pixels + parts - 1) // parts, (tasks + groups - 1) // groups
    for unit in prange(parts * groups):
        part, group = unit // groups, unit % groups
        start, stop = part * per_part, min((part + 1) * per_part, pixels)
        packed = np.empty((1 + panels * block) * nr, x.dtype)
        packed[:nr] = 0
        x_at, g_at = np.empty(block, np.int64), np.empty(block, np.int64)
        for s in range(start, max(stop, start + 1), block):
            depth = max(min(stop - s, block), 0)
            for panel in range(panels):
                columns = min(nr, o - panel * nr)
                pack(g, s * o + panel * nr, o, 1, depth, columns, packed, (1 + panel * block) * nr)
            listed, count = -1, 0
            for task in range(group * per_group, min((group + 1) * per_group, tasks)):
                t, i = task // strips, task % strips * ROWS
                if t != listed:
                    listed, count = t, 0
                    for p in range(depth):
                        pixel = read(near, t * pixels + s + p)
                        if pixel >= 0:
                            x_at[count], g_at[count] = pixel * c, (1 + p) * nr
                            count += 1
                rows, to = span(i, c - 1, 1), span(i, c - 1, o)
                for panel in range(panels):
                    acc = fill(packed, 0, rows)
                    for k in range(count):
                        acc = rank1(acc, x, rows, read(x_at, k), packed, panel * block * nr + read(g_at, k))
                    at = (part * taps + t) * c * o + panel * nr
                    if s == start:
                        put(acc, sums, to, at, o - panel * nr)
                    else:
                        add(acc, sums, to, at, o - panel * nr)


@pjit
def _add_parts(sums, w_at, g_w, c, o, parts):
    """g_w[w_at[t] + i] = sum over parts, in order, of sums[part, t, i], i < c * o; in units of one row of o."""
    taps = w_at.size
    for row in prange(taps * c):
        to = w_at[row // c] + row % c * o
        for i in range(o):
            total = sums[row * o + i]
            for part in range(1, parts):
                total += sums[(part * taps * c + row) * o + i]
            g_w[to + i] = total


@pjit
def _unfold(frame, image, line, steps, hw, offsets, lengths, columns, depth):
    """columns[p] = the runs of output pixel p's window, side by side (im2col).  `image` and `line` count elements."""
    for row in prange(columns.size // max(depth * hw[1], 1)):
        corner, to = row // hw[0] * image + row % hw[0] * line, row * hw[1] * depth
        for _ in range(hw[1]):
            for run in range(offsets.size):
                start = corner + offsets[run]
                for i in range(lengths[run]):
                    columns[U(to + i)] = frame[U(start + i)]
                to += lengths[run]
            corner += steps


@pjit
def _fold(columns, near, taps, pixels, bias, y, c):
    """y[p] = bias + sum over taps of columns[near[t, p], t] (col2im, in gather form)."""
    for p in prange(pixels):
        for i in range(c):
            y[p * c + i] = bias[i]
        for t in range(taps):
            pixel = near[t * pixels + p]
            if pixel >= 0:
                for i in range(c):
                    y[U(p * c + i)] += columns[U((pixel * taps + t) * c + i)]


@lru_cache(maxsize=64)
def _zeros(n: int, dtype: np.dtype) -> Array:
    return np.zeros(max(n, 1), dtype)


@lru_cache(maxsize=256)
def _places(taps: tuple[Pair, ...], columns: int, size: int) -> Array:
    """Where each live tap's matrix begins in weights with so many columns of taps."""
    return np.array([(i * columns + j) * size for i, j in taps], np.int64)


def unfold(x: Array, window: Window, hw: Pair, adjoint: bool) -> Array:
    """(output pixels, taps * C): what each output pixel sees; with `adjoint`, its taps come in reverse order."""
    n, c = len(x), x.shape[3]
    how = layout(window, adjoint, c)
    frame = np.zeros((n, *how.hw, c), x.dtype)
    frame[:, how.place[0], how.place[1]] = x[:, how.keep[0], how.keep[1]]
    depth = len(window.taps) * c
    columns = np.empty((n * hw[0] * hw[1], depth), x.dtype)
    line = how.hw[1] * c
    _unfold(
        frame.ravel(), how.hw[0] * line, how.step[0] * line, how.step[1] * c, hw, how.offsets, how.lengths,
        columns.ravel(), depth,
    )  # fmt: skip
    return columns


def correlate(x, w, y, window, *, adjoint, mask, colors, bias=None, floor=-np.inf) -> None:
    """The forward pass, or (x and y in each other's place) its adjoint; then bias; then, if wide, max(y, floor)."""
    c, o, taps = x.shape[3], y.shape[3], window.taps
    if mask is not None and colors > 1:  # the centre is live in part
        w = np.where(live(w.shape, mask, colors), w, w.dtype.type(0))
    bias = _zeros(o, x.dtype) if bias is None else flat(bias)
    if min(c, o) >= NARROW:
        cut = tiles(window, adjoint)
        count, panels = len(cut.first) - 1, -(-o * x.itemsize // (BYTES * VECTORS))
        group = max(1, min(GROUP, count * panels // (4 * get_num_threads())))
        steps = (1, c) if adjoint else (o, 1)  # from row to row of a tap's matrix, and from column to column
        at = _places(taps, window.k[1], c * o)
        _gather(flat(x), _zeros(c, x.dtype), flat(w), at, *steps, bias, x.dtype.type(floor), *cut, flat(y), c, o, group)
        return
    matrices = w[tuple(zip(*taps))] if taps else w.reshape(-1, *w.shape[2:])[:0]  # (taps, C, O)
    if adjoint:
        matrices = matrices.swapaxes(1, 2)
    if c < NARROW:
        if adjoint:
            matrices = matrices[::-1]
        product(unfold(x, window, y.shape[1:3], adjoint), matrices.reshape(-1, o), y.reshape(-1, o), bias=bias)
    else:
        near = table(window, adjoint)
        columns = np.empty((x.size // c, len(taps) * o), x.dtype)
        product(x.reshape(-1, c), matrices.swapaxes(0, 1).reshape(c, -1), columns)
        _fold(columns.ravel(), near.ravel(), *near.shape, bias, flat(y), o)


def conv2d(x, w, y, *, stride, pad, dilation, mask, colors) -> None:
    k = w.shape[:2]
    window = Window(len(x), x.shape[1:3], k, stride, pad, dilation, live_taps(k, mask, colors))
    correlate(x, w, y, window, adjoint=False, mask=mask, colors=colors)


def conv2d_bias_act(x, w, b, y, *, activation, stride, pad, dilation, mask, colors) -> None:
    k = w.shape[:2]
    window = Window(len(x), x.shape[1:3], k, stride, pad, dilation, live_taps(k, mask, colors))
    fused = activation == "relu" and min(w.shape[2:]) >= NARROW
    floor = 0.0 if fused else -np.inf
    correlate(x, w, y, window, adjoint=False, mask=mask, colors=colors, bias=b, floor=floor)
    if activation is not None and not fused:
        getattr(elementwise, activation)(y, y, **ACTIVATIONS[activation])


def conv2d_input_grad(g, w, g_x, *, x_hw, stride, pad, dilation, mask, colors) -> None:
    k = w.shape[:2]
    window = Window(len(g), x_hw, k, stride, pad, dilation, live_taps(k, mask, colors))
    correlate(g, w, g_x, window, adjoint=True, mask=mask, colors=colors)


def conv2d_weight_grad(x, g, g_w, *, k, stride, pad, dilation, mask, colors) -> None:
    window = Window(len(x), x.shape[1:3], k, stride, pad, dilation, live_taps(k, mask, colors))
    c, o, taps = x.shape[3], g.shape[3], window.taps
    if mask is not None:
        g_w[...] = 0
    if min(c, o) < NARROW:
        g_taps = np.empty((len(taps), c, o), x.dtype)
        if c < NARROW:
            product(unfold(x, window, g.shape[1:3], False), g.reshape(-1, o), g_taps.reshape(-1, o), trans_a=True)
        else:
            turned = np.empty((c, len(taps) * o), x.dtype)
            product(x.reshape(-1, c), unfold(g, window, x.shape[1:3], True), turned, trans_a=True)
            g_taps[::-1] = turned.reshape(c, len(taps), o).swapaxes(0, 1)
        if taps:
            g_w[tuple(zip(*taps))] = g_taps
    else:
        near = table(window, False)
        pixels = near.shape[1]
        parts = max(1, min(PARTS, pixels // PART_PIXELS, PART_ENTRIES // max(len(taps) * c * o, 1)))
        groups = max(1, min(get_num_threads() // parts, len(taps) * -(-c // ROWS)))  # changes no bit
        block = max(ROWS, BLOCK_ENTRIES // (c + o))
        sums = np.empty(parts * len(taps) * c * o, x.dtype)
        _weight_sums(flat(x), flat(g), near.ravel(), *near.shape, sums, c, o, parts, groups, block)
        _add_parts(sums, _places(taps, k[1], c * o), flat(g_w), c, o, parts)
    if mask is not None and colors > 1:
        centre = k[0] // 2, k[1] // 2
        g_w[centre][~live(g_w.shape, mask, colors)[centre]] = 0
