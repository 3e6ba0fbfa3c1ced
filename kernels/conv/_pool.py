"""Pooling on the CPU: a unit of work is one row of the output, or one image where windows may overlap.

Channels are innermost, so each loop over them runs along memory and vectorises.  Traffic is all the cost: every window
entry read once, every output written once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._numba import inlined, pjit, prange
from ..matmul.cpu import U, flat

Array = Any


@pjit
def _pool(x, y, n, h, w, c, hw, size, stride, factor):
    for row in prange(n * hw[0]):
        for j in range(hw[1]):
            to = (row * hw[1] + j) * c
            for a in range(size[0]):
                for b in range(size[1]):
                    at = ((row // hw[0] * h + row % hw[0] * stride[0] + a) * w + j * stride[1] + b) * c
                    for i in range(c):
                        y[U(to + i)] = x[U(at + i)] + (y[U(to + i)] if a + b > 0 else 0)
            for i in range(c):
                y[U(to + i)] *= factor


@pjit
def _pool_grad(g, g_x, n, h, w, c, hw, size, stride, factor):
    for row in prange(n * h):
        y, image = row % h, row // h * hw[0]
        for x in range(w):
            to = (row * w + x) * c
            for i in range(c):
                g_x[U(to + i)] = 0
            for a in range(max((y - size[0]) // stride[0] + 1, 0), min(y // stride[0] + 1, hw[0])):
                for b in range(max((x - size[1]) // stride[1] + 1, 0), min(x // stride[1] + 1, hw[1])):
                    at = ((image + a) * hw[1] + b) * c
                    for i in range(c):
                        g_x[U(to + i)] += factor * g[U(at + i)]


@inlined
def _largest(x, corner, line, c, size, best, where):
    """where[i]: offset of the pixel with the first largest entry of channel i in the window at `corner`."""
    for i in range(c):
        best[i] = x[U(corner + i)]
        where[i] = corner
    for a in range(size[0]):
        for b in range(size[1]):
            at = corner + a * line + b * c
            for i in range(c):
                v = x[U(at + i)]
                larger = v > best[U(i)] or (v != v and best[U(i)] == best[U(i)])
                best[U(i)] = v if larger else best[U(i)]
                where[U(i)] = at if larger else where[U(i)]


@pjit
def _max_pool(x, v, y, n, h, w, c, hw, size, stride):
    for row in prange(n * hw[0]):
        best, where = np.empty(c, x.dtype), np.empty(c, np.int64)
        for j in range(hw[1]):
            corner = ((row // hw[0] * h + row % hw[0] * stride[0]) * w + j * stride[1]) * c
            _largest(x, corner, w * c, c, size, best, where)
            for i in range(c):
                y[(row * hw[1] + j) * c + i] = v[where[i] + i]


@pjit
def _max_pool_grad(x, g, g_v, n, h, w, c, hw, size, stride):
    for image in prange(n):
        best, where = np.empty(c, x.dtype), np.empty(c, np.int64)
        for i in range(image * h * w * c, (image + 1) * h * w * c):
            g_v[i] = 0
        for window in range(hw[0] * hw[1]):
            corner = ((image * h + window // hw[1] * stride[0]) * w + window % hw[1] * stride[1]) * c
            _largest(x, corner, w * c, c, size, best, where)
            for i in range(c):
                g_v[where[i] + i] += g[(image * hw[0] * hw[1] + window) * c + i]


def pool2d(x: Array, y: Array, *, size, stride, factor) -> None:
    _pool(flat(x), y.ravel(), *x.shape, y.shape[1:3], size, stride, x.dtype.type(factor))


def pool2d_grad(g: Array, g_x: Array, *, x_hw, size, stride, factor) -> None:
    _pool_grad(flat(g), g_x.ravel(), *g_x.shape, g.shape[1:3], size, stride, g.dtype.type(factor))


def max_pool2d(x: Array, v: Array, y: Array, *, size, stride) -> None:
    _max_pool(flat(x), flat(v), y.ravel(), *x.shape, y.shape[1:3], size, stride)


def max_pool2d_grad(x: Array, g: Array, g_v: Array, *, size, stride) -> None:
    _max_pool_grad(flat(x), flat(g), g_v.ravel(), *x.shape, g.shape[1:3], size, stride)
