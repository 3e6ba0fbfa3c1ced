"""Convolutions with a handful of channels on one side, as one dense product.

With C or O below NARROW the loops of the gathering kernels are too short to be worth their set-up.  The narrow side is
unfolded instead: what every window sees is copied out, or what every window gives is added up.  Narrow images are
small, so the copies are too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._epilogue import After, finish_rows, flat
from .._numba import CHUNK
from .._scratch import scratch
from .._units import units
from ..matmul.cpu import U, product
from ..reduce.cpu import sum
from ._geometry import Window, homes, layout

Array = Any

NARROW = 8  # channels; not below ROWS, which is how many the weight gradient takes at once


@units
def _unfold(row, frame, image, line, step, rows, length, offsets, lengths, columns, depth):
    """columns[p] = the runs of output pixel p's window, side by side (im2col).  One unit: one row of output pixels."""
    corner, to = row // rows * image + row % rows * line, row * length * depth
    for _ in range(length):
        for run in range(offsets.size):
            start = corner + offsets[run]
            for i in range(lengths[run]):
                columns[U(to + i)] = frame[U(start + i)]
            to += lengths[run]
        corner += step


@units
def _fold(image, columns, rows, length, line, step, offsets, lengths, frame, at, place, stretch, y, size):
    """One image of y from the adjoint of `_unfold`: windows are added up in a frame, where its pixels are picked."""
    sums, given, to = np.zeros(frame, columns.dtype), columns.size // max(y.size // size, 1) * image, image * size
    for row in range(rows):
        corner = row * line
        for _ in range(length):
            for run in range(offsets.size):
                start = corner + offsets[run]
                for i in range(lengths[run]):
                    sums[U(start + i)] += columns[U(given + i)]
                given += lengths[run]
            corner += step
    if at.size * stretch < size:  # some lie outside the frame: nothing reaches them
        y[to : to + size] = 0
    for run in range(at.size):
        for i in range(stretch):
            y[U(to + at[run] + i)] = sums[U(place[run] + i)]


def unfold(x: Array, window: Window, hw: tuple[int, int], *, adjoint: bool) -> Array:
    """(output pixels, taps * C): what each output pixel sees; with `adjoint`, its taps come in reverse order."""
    n, c = len(x), x.shape[3]
    how = layout(window, adjoint, c)
    frame = scratch("frame", n * how.hw[0] * how.hw[1] * c, x.dtype).reshape(n, *how.hw, c)
    frame[...] = 0
    frame[:, how.place[0], how.place[1]] = x[:, how.keep[0], how.keep[1]]
    depth, line = len(window.taps) * c, how.hw[1] * c
    pixels = n * hw[0] * hw[1]
    columns = scratch("columns", pixels * depth, x.dtype).reshape(pixels, depth)
    _unfold(
        columns.size <= CHUNK, n * hw[0], frame.ravel(), how.hw[0] * line, how.step[0] * line, how.step[1] * c, *hw,
        how.offsets, how.lengths, columns.ravel(), depth,
    )  # fmt: skip
    return columns


def fold(columns: Array, hw: tuple[int, int], window: Window, y: Array, *, adjoint: bool) -> None:
    """y = what every window of an image of size hw gives, (pixels, taps * C), added up: the adjoint of `unfold`."""
    how, (n, _, width, c) = layout(window, adjoint, y.shape[3]), y.shape
    line = how.hw[1] * c
    _fold(
        columns.size <= CHUNK, n, columns.ravel(), *hw, how.step[0] * line, how.step[1] * c, how.offsets, how.lengths,
        how.hw[0] * line, *homes(window, adjoint, c, width), flat(y), max(y.size // max(n, 1), 1),
    )  # fmt: skip


def _of_taps(w: Array, window: Window) -> Array:
    """(taps, C, O): the matrices of the live taps."""
    return w[tuple(zip(*window.taps))] if window.taps else w[:0, 0]


def correlate(x: Array, w: Array, y: Array, window: Window, then: After, *, adjoint: bool) -> None:
    """y = the convolution of x, or its adjoint, then the steps, when x or y has few channels."""
    c, o = x.shape[3], y.shape[3]
    matrices = _of_taps(w, window)
    if adjoint:
        matrices = matrices.swapaxes(1, 2)
    if c < NARROW:
        seen = unfold(x, window, y.shape[1:3], adjoint=adjoint)
        matrices = matrices[::-1] if adjoint else matrices
        product(seen, matrices.reshape(seen.shape[1], o), y.reshape(-1, o), then)
    else:
        pixels, depth = x.size // c, len(matrices) * o
        matrices = matrices if adjoint else matrices[::-1]
        given = scratch("columns", pixels * depth, x.dtype).reshape(pixels, depth)
        product(x.reshape(-1, c), matrices.swapaxes(0, 1).reshape(c, depth), given)
        fold(given, x.shape[1:3], window, y, adjoint=not adjoint)
        finish_rows(y, then)


def weight_grad(x: Array, g: Array, g_w: Array, g_b: Array | None, window: Window) -> None:
    """The live taps of g_w, and g_b, the sum of g over all pixels, when x or g has few channels."""
    c, o, taps = x.shape[3], g.shape[3], len(window.taps)
    g_taps = np.empty((taps, c, o), x.dtype)
    if c < NARROW:
        seen = unfold(x, window, g.shape[1:3], adjoint=False)
        product(seen, g.reshape(-1, o), g_taps.reshape(-1, o), trans_a=True, totals=g_b if taps else None)
    else:
        turned = np.empty((c, taps * o), x.dtype)
        product(x.reshape(-1, c), unfold(g, window, x.shape[1:3], adjoint=True), turned, trans_a=True)
        g_taps[::-1] = turned.reshape(c, taps, o).swapaxes(0, 1)
    if g_b is not None and (c >= NARROW or not taps):
        sum(g, g_b, axes=(0, 1, 2), keepdims=False, divisor=1)
    if taps:
        g_w[tuple(zip(*window.taps))] = g_taps
