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
from ._geometry import Window, layout, table

Array = Any

NARROW = 8  # channels; not below ROWS, which is how many the weight gradient takes at once
STRETCH = 256  # pixels in a unit of folding


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
def _fold(unit, columns, near, taps, pixels, y, c):
    """y[p] = sum over taps of columns[near[t, p], t] (col2im, in gather form).  One unit: STRETCH pixels."""
    for p in range(unit * STRETCH, min((unit + 1) * STRETCH, pixels)):
        for i in range(c):
            y[U(p * c + i)] = 0
        for t in range(taps):
            pixel = near[t * pixels + p]
            if pixel >= 0:
                for i in range(c):
                    y[U(p * c + i)] += columns[U((pixel * taps + t) * c + i)]


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
        near = table(window, adjoint)
        taps, pixels = near.shape
        given = scratch("columns", x.size // c * taps * o, x.dtype).reshape(x.size // c, taps * o)
        product(x.reshape(-1, c), matrices.swapaxes(0, 1).reshape(c, taps * o), given)
        count = -(-pixels // STRETCH)
        _fold(given.size <= CHUNK, count, given.ravel(), near.ravel(), taps, pixels, flat(y), o)
        finish_rows(y, then)


def weight_grad(x: Array, g: Array, g_w: Array, window: Window) -> None:
    """The live taps of g_w, when x or g has few channels."""
    c, o, taps = x.shape[3], g.shape[3], len(window.taps)
    g_taps = np.empty((taps, c, o), x.dtype)
    if c < NARROW:
        product(unfold(x, window, g.shape[1:3], adjoint=False), g.reshape(-1, o), g_taps.reshape(-1, o), trans_a=True)
    else:
        turned = np.empty((c, taps * o), x.dtype)
        product(x.reshape(-1, c), unfold(g, window, x.shape[1:3], adjoint=True), turned, trans_a=True)
        g_taps[::-1] = turned.reshape(c, taps, o).swapaxes(0, 1)
    if taps:
        g_w[tuple(zip(*window.taps))] = g_taps
