"""Convolutions with a handful of channels on one side, as one dense product.

With few channels the loops of the gathering kernels are too short to be worth their set-up.  A narrow image is copied
into a frame of zeros, a little larger, in which no window lies outside; then entry i of the window of output pixel p is
frame[starts[p] + reach[i]], and the two tables make one product over all taps, forward or for the weights, without
unfolding a window.  Where the result is narrow, what every window gives is one product, added up in such a frame.
"""

from __future__ import annotations

from typing import Any

from .._epilogue import After, finish, flat, foresee
from .._numba import CHUNK
from .._prepared import effect
from .._scratch import scratch
from .._simd import BYTES, ROWS, VECTORS, distance, get, plus, put, rank1, read, span, take, width, zeros
from .._units import units
from ..matmul.cpu import SERIAL, U, add_columns, aligned, pack_rows, product
from ..reduce.cpu import sum
from . import NO_PAD
from ._geometry import Window, hole, homes, layout, places, sights, tiles
from ._weights import Sums, pack_weights

Array = Any

NARROW = 8  # channels
GROUP = 32  # tiles in a unit of work


def narrow(c: int, o: int) -> bool:
    """Whether so few channels are better served here; taps are summed apart where the result is narrow."""
    return min(c, o) < NARROW or (o < 2 * NARROW and c >= 2 * o)


@units
def _into_frame(image, x, size, at, place, stretch, frame, room):
    """One image, as a frame."""
    start, to = image * size, image * room
    frame[to : to + room] = 0
    for run in range(at.size):
        for i in range(stretch):
            frame[U(to + place[run] + i)] = x[U(start + at[run] + i)]


@units
def _see(unit, x, starts, reach, depth, packed, y, pixels, o, after):
    """y[p] = sum over i of x[starts[p] + reach[i]] packed[i], then `finish`.  One unit: GROUP tiles of pixels."""
    nr = width(x)
    panels, tiles = (o + nr - 1) // nr, (pixels + ROWS - 1) // ROWS
    for task in range(unit * GROUP * panels, min((unit + 1) * GROUP, tiles) * panels):
        t, panel = task // panels, task % panels
        rows, to = take(starts, t * ROWS, 1, 0), span(t * ROWS, 0, pixels - 1, o)
        acc, p = zeros(x, rows), panel * depth * nr
        for r in range(ROWS):
            foresee(y, (min((t + 1) * ROWS + r, pixels - 1) * o,), panel * nr, after)
            for i in range(r * depth // ROWS, (r + 1) * depth // ROWS):
                acc = rank1(acc, x, rows, read(reach, i), packed, p)
                p += nr
        finish(acc, y, to, panel * nr, o - panel * nr, after)


@units
def _window_sums(unit, x, starts, reach, depth, g, pixels, sums, totals, o, parts, groups, block):
    """sums[part, i] = sum over the pixels p of a part of x[starts[p] + reach[i]] * g[p], with g[p] a row of o.

    One unit: one part for one of `groups` ranges of entries.  totals: empty, or for each part the sum of g[p].
    """
    nr = width(x)
    panels, strips = (o + nr - 1) // nr, (depth + ROWS - 1) // ROWS
    per_part, per_group = (pixels + parts - 1) // parts, (strips + groups - 1) // groups
    part, group = unit // groups, unit % groups
    start, stop = part * per_part, min((part + 1) * per_part, pixels)
    packed = aligned(panels * block * nr, x)
    for s in range(start, max(stop, start + 1), block):
        deep = max(min(stop - s, block), 0)
        for panel in range(panels):
            columns = min(nr, o - panel * nr)
            pack_rows(g, s * o + panel * nr, o, deep, columns, packed, panel * block * nr)
            if group == 0 and totals.size > 0:
                add_columns(packed, panel * block * nr, deep, totals, part * o + panel * nr, columns, s == start)
        for strip in range(group * per_group, min((group + 1) * per_group, strips)):
            rows, to = take(reach, strip * ROWS, 1, 0), span(strip * ROWS, 0, depth - 1, o)
            for panel in range(panels):
                acc, at, p = zeros(x, rows), part * depth * o + panel * nr, panel * block * nr
                for k in range(s, s + deep):
                    acc = rank1(acc, x, rows, read(starts, k), packed, p)
                    p += nr
                if s > start:
                    acc = plus(get(sums, to, at, o - panel * nr), acc)
                put(acc, sums, to, at, o - panel * nr)


@units
def _side_by_side(row, w, w_at, w_row, w_column, o, matrix):
    """matrix[row, t * o + j] = w[w_at[t] + row * w_row + j * w_column]."""
    to = row * w_at.size * o
    for t in range(w_at.size):
        for j in range(o):
            matrix[U(to + t * o + j)] = w[U(w_at[t] + row * w_row + j * w_column)]


@units
def _collect(unit, given, hole, first, tap, row, out, y, o, depth, after):
    """y[out] = sum over the taps of given[row, tap], then `finish`.  One unit: GROUP tiles of pixels."""
    outside = distance(given, hole)
    for t in range(unit * GROUP, min((unit + 1) * GROUP, first.size - 1)):
        to = take(out, t * ROWS, o, 0)
        for column in range(0, o, width(y)):
            acc = zeros(y, to)
            for e in range(first[t], first[t + 1]):
                rows = take(row, e * ROWS, depth, outside)
                acc = plus(acc, get(given, rows, read(tap, e) * o + column, o - column))
            finish(acc, y, to, column, o - column, after)


def _sum_pixels(g: Array, g_b: Array) -> None:
    sum(g, g_b, axes=(0, 1, 2), keepdims=False, divisor=1)


def _framed(x: Array, window: Window, *, adjoint: bool) -> Array:
    """x in frames of zeros, flat."""
    n, c = len(x), x.shape[3]
    hw = layout(window, adjoint, c).hw
    room = hw[0] * hw[1] * c
    frame = scratch("frame", n * room, x.dtype)
    _into_frame(
        frame.size <= CHUNK, n, flat(x), x.size // max(n, 1), *homes(window, adjoint, c, x.shape[2]), frame, room
    )
    return frame


def correlate(x: Array, w: Array, y: Array, window: Window, then: After, *, adjoint: bool) -> None:
    """y = the convolution of x, or its adjoint, then the steps, when x or y has few channels."""
    c, o, taps = x.shape[3], y.shape[3], len(window.taps)
    move = (1, c) if adjoint else (o, 1)  # from row to row of a tap's matrix, and from column to column
    if c < NARROW:
        starts, reach = sights(window, adjoint, c, len(x), y.shape[1:3])
        depth, pixels, panels = taps * c, y.size // max(o, 1), -(-o * x.itemsize // (BYTES * VECTORS))
        packed = scratch("weights", panels * depth * (BYTES * VECTORS // x.itemsize), x.dtype)
        at = places(window, c * o, adjoint)
        pack_weights(packed.size <= CHUNK, panels, flat(w), at, *move, packed, c, o)
        _see(
            pixels * depth * o <= SERIAL, -(-pixels // (ROWS * GROUP)), _framed(x, window, adjoint=adjoint),
            starts, reach, depth, packed, flat(y), pixels, o, then,
        )  # fmt: skip
        return
    pixels, depth = x.size // c, taps * o
    matrix = scratch("weights", c * depth, x.dtype)
    _side_by_side(matrix.size <= CHUNK, c, flat(w), places(window, c * o), *move, o, matrix)
    each, matrix = x.reshape(pixels, c), matrix.reshape(c, depth)
    if window[2:] == ((1, 1), (1, 1), NO_PAD, window.dilation, window.taps) and taps:
        product(each, matrix, y.reshape(pixels, o), then)
        return
    given, cut = scratch("columns", pixels * depth, x.dtype), tiles(window, adjoint)
    product(each, matrix, given.reshape(pixels, depth))
    count = len(cut.first) - 1
    _collect(given.size <= CHUNK, -(-count // GROUP), given, hole(depth, x.dtype), *cut, flat(y), o, depth, then)


def weight_grad(x: Array, g: Array, g_w: Array, g_b: Array | None, window: Window) -> None:
    """The live taps of g_w, and g_b, the sum of g over all pixels, when x or g has few channels."""
    (c, o), taps = g_w.shape[2:], len(window.taps)
    adjoint = c >= NARROW  # the image of few channels is framed, be it x or g
    image, other = (g, x) if adjoint else (x, g)
    few, many = image.shape[3], other.shape[3]
    starts, reach = sights(window, adjoint, few, len(x), other.shape[1:3])
    depth, pixels = taps * few, other.size // max(many, 1)
    sums = Sums(pixels, taps, few, many, -(-depth // ROWS), None if adjoint else g_b, x.dtype)
    _window_sums(
        sums.serial, sums.parts * sums.groups, _framed(image, window, adjoint=adjoint), starts, reach, depth,
        flat(other), pixels, sums.sums, sums.totals, many, sums.parts, sums.groups, sums.block,
    )  # fmt: skip
    w_row, w_column = (1, o) if adjoint else (o, 1)
    sums.add(places(window, c * o, adjoint), w_row, w_column, flat(g_w))
    if adjoint and g_b is not None:
        effect(_sum_pixels, g, g_b)
