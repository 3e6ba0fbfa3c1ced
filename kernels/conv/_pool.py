"""Pooling on the CPU: a unit of work is one row of the output, or one image where windows may overlap.

Channels are innermost, so each loop over them runs along memory and vectorises.  Traffic is all the cost: every window
entry read once, every output written once.  Shapes are passed entry by entry: a parallel loop takes no tuples.
"""

from __future__ import annotations

import numpy as np

from .._epilogue import flat
from .._numba import CHUNK, inlined
from .._units import units
from ..matmul.cpu import U


@units
def _pool(row, x, y, h, w, c, y_h, y_w, size_y, size_x, step_y, step_x, factor):
    for j in range(y_w):
        to = (row * y_w + j) * c
        for a in range(size_y):
            for b in range(size_x):
                at = ((row // y_h * h + row % y_h * step_y + a) * w + j * step_x + b) * c
                for i in range(c):
                    y[U(to + i)] = x[U(at + i)] + (y[U(to + i)] if a + b > 0 else 0)
        for i in range(c):
            y[U(to + i)] *= factor


@units
def _pool_grad(row, g, g_x, h, w, c, y_h, y_w, size_y, size_x, step_y, step_x, factor):
    y, image = row % h, row // h * y_h
    for x in range(w):
        to = (row * w + x) * c
        for i in range(c):
            g_x[U(to + i)] = 0
        for a in range(max((y - size_y) // step_y + 1, 0), min(y // step_y + 1, y_h)):
            for b in range(max((x - size_x) // step_x + 1, 0), min(x // step_x + 1, y_w)):
                at = ((image + a) * y_w + b) * c
                for i in range(c):
                    g_x[U(to + i)] += factor * g[U(at + i)]


@inlined
def _largest(x, corner, line, c, size_y, size_x, best, where):
    """where[i]: offset of the pixel with the first largest entry of channel i in the window at `corner`."""
    for i in range(c):
        best[i] = x[U(corner + i)]
        where[i] = corner
    for a in range(size_y):
        for b in range(size_x):
            at = corner + a * line + b * c
            for i in range(c):
                v = x[U(at + i)]
                larger = v > best[U(i)] or (v != v and best[U(i)] == best[U(i)])
                best[U(i)] = v if larger else best[U(i)]
                where[U(i)] = at if larger else where[U(i)]


@units
def _max_pool(row, x, v, y, h, w, c, y_h, y_w, size_y, size_x, step_y, step_x):
    best, where = np.empty(c, x.dtype), np.empty(c, np.int64)
    for j in range(y_w):
        corner = ((row // y_h * h + row % y_h * step_y) * w + j * step_x) * c
        _largest(x, corner, w * c, c, size_y, size_x, best, where)
        for i in range(c):
            y[(row * y_w + j) * c + i] = v[where[i] + i]


@units
def _max_pool_grad(image, x, g, g_v, h, w, c, y_h, y_w, size_y, size_x, step_y, step_x):
    best, where = np.empty(c, x.dtype), np.empty(c, np.int64)
    for i in range(image * h * w * c, (image + 1) * h * w * c):
        g_v[i] = 0
    for window in range(y_h * y_w):
        corner = ((image * h + window // y_w * step_y) * w + window % y_w * step_x) * c
        _largest(x, corner, w * c, c, size_y, size_x, best, where)
        for i in range(c):
            g_v[where[i] + i] += g[(image * y_h * y_w + window) * c + i]


def pool2d(x, y, *, size, stride, factor):
    n, *hwc = x.shape
    y_hw, factor = y.shape[1:3], x.dtype.type(factor)
    _pool(x.size <= CHUNK, n * y_hw[0], flat(x), flat(y), *hwc, *y_hw, *size, *stride, factor)


def pool2d_grad(g, g_x, *, x_hw, size, stride, factor):
    n, *hwc = g_x.shape
    y_hw, factor = g.shape[1:3], g.dtype.type(factor)
    _pool_grad(g_x.size <= CHUNK, n * hwc[0], flat(g), flat(g_x), *hwc, *y_hw, *size, *stride, factor)


def max_pool2d(x, v, y, *, size, stride):
    n, *hwc = x.shape
    y_hw = y.shape[1:3]
    _max_pool(x.size <= CHUNK, n * y_hw[0], flat(x), flat(v), flat(y), *hwc, *y_hw, *size, *stride)


def max_pool2d_grad(x, g, g_v, *, size, stride):
    n, *hwc = x.shape
    _max_pool_grad(x.size <= CHUNK, n, flat(x), flat(g), flat(g_v), *hwc, *g.shape[1:3], *size, *stride)
