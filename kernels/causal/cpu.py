"""Sampling with every number computed once: all pixels of eight images in one walk, with no launch in between.

A pixel of one image is a row times the weights of all layers: every weight would be read for two operations.  So a
register tile takes the same pixel of ROWS images, and a unit of work walks some tiles of images through all pixels by
itself: images are independent, and nobody waits for anybody.  All weights (1.1 MB for PixelCNN(h=64, 7 blocks) in
float32) stream past once a pixel; that is 0.9 GB for 784 pixels, 8 bytes a cycle, which the second-level cache and the
third have.  The limit is arithmetic: 0.44 GFLOP an image of 28x28, 35 ms for 8 images on one core at 100 GFLOP/s.
Measured: 38 ms on one Zen 4 core (91 GFLOP/s, where dense products run at 99); 16 images are two such units, and the
definition takes 50 s of a core for them.  Fewer images than ROWS cost as much as ROWS.

The rows of a tile see the same taps, so a tap outside the image is left out, and no zeros are multiplied.  Each sum
runs in the order of the ordinary convolution, so that equal bits come out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._math import sigmoid
from .._numba import inlined, part
from .._pool import get_num_threads
from .._simd import BYTES, ROWS, VECTORS, fill, get, plus, put, rank1, span, width, zeros
from .._units import units
from ..random.cpu import category
from ._program import CONV, RELU, Program, program

Array = Any

GROUP = 4  # tiles of images that a unit walks together, at most: they share a read of the weights


@inlined
def _place(value, i, j, m):
    """Where pixel (i, j) of a value begins: m images follow one another, each a row of its channels."""
    return (value.at + (i % value.rows * value.columns + j % value.columns) * value.channels) * m


@part
def _convolve(step, values, taps, weights, cache, i, j, m, image_width):
    """One colour's channels at one pixel: (what stands there) + sum over taps and channels (+ bias)."""
    nr = width(cache)
    source, to = values[step.source], values[step.to]
    c, depth = source.channels, step.depth
    out = _place(to, i, j, m) + step.column
    size = (1 + step.taps * depth) * nr
    for panel in range((step.columns + nr - 1) // nr):
        begin, column = step.weights + panel * size, panel * nr
        for t in range(0, m, ROWS):
            rows, there = span(t, 0, m - 1, c), span(t, 0, m - 1, to.channels)
            acc, p = zeros(cache, rows), begin + nr
            for e in range(step.first_tap, step.first_tap + step.taps):
                y, x = i + taps[e, 0], j + taps[e, 1]
                if y >= 0 and x >= 0 and x < image_width:
                    at, q = _place(source, y, x, m), p
                    for k in range(depth):
                        acc = rank1(acc, cache, rows, at + k, weights, q)
                        q += nr
                p += depth * nr
            if step.adds:
                acc = plus(get(cache, there, out + column, step.columns - column), acc)
            if step.ends:
                acc = plus(acc, fill(weights, begin, rows))
            put(acc, cache, there, out + column, step.columns - column)


@part
def _entrywise(step, values, cache, i, j, m):
    """relu, or a sum of two values, of one colour's channels at one pixel."""
    zero = cache.dtype.type(0)
    source, other, to = values[step.source], values[step.other], values[step.to]
    a, b, y = _place(source, i, j, m), _place(other, i, j, m), _place(to, i, j, m)
    for r in range(m):
        start, stop = r * to.channels + step.column, r * to.channels + step.column + step.columns
        first, second, out = cache[a + start : a + stop], cache[b + start : b + stop], cache[y + start : y + stop]
        if step.kind == RELU:
            for k in range(out.size):
                out[k] = zero if first[k] < zero else first[k]
        else:
            for k in range(out.size):
                out[k] = first[k] + second[k]


@inlined
def _drawn(given, row, u, room):
    """What is given, or else a draw by the logits in row, as `random.bernoulli` and `random.categorical` make it."""
    if given >= 0:
        return given
    if row.size == 1:
        return type(given)(u < sigmoid(row[0]))
    return type(given)(category(row, u, room))


@units
def _walk(unit, x, u, y, seen, weights, first, steps, values, taps, size, scale, shift, group):
    """All pixels of `group` images."""
    n, height, image_width, colors = x.shape
    begin = unit * group
    m = min(group, n - begin)
    cache = np.empty(size * m, x.dtype)
    shown, logits = values[0], values[values.size - 1]
    per_entry = logits.channels // colors
    room = np.empty(per_entry, np.float64)
    for i in range(height):
        for j in range(image_width):
            for color in range(colors):
                for s in range(first[color], first[color + 1]):
                    step = steps[s]
                    if step.kind == CONV:
                        _convolve(step, values, taps, weights, cache, i, j, m, image_width)
                    else:
                        _entrywise(step, values, cache, i, j, m)
                entry = (i * image_width + j) * colors + color
                at = _place(logits, i, j, m) + color * per_entry
                for r in range(m):
                    row = cache[at + r * logits.channels : at + r * logits.channels + per_entry]
                    if seen.shape[0] > 0:
                        seen[begin + r, i, j, color * per_entry : (color + 1) * per_entry] = row
                    drawn = _drawn(x[begin + r, i, j, color], row, u[entry, begin + r], room)
                    y[begin + r, i, j, color] = drawn
                    cache[_place(shown, i, j, m) + r * colors + color] = drawn * scale + shift


def _packed(plan: Program, weights: list[Array], panel: int) -> Array:
    """All matrices, panel by panel: a row of bias, then a row for every tap and channel; zeros up to whole panels."""
    parts = []
    for layer, (taps, inputs, outputs) in plan.matrices:
        w, b = weights[2 * layer], weights[2 * layer + 1]
        rows = np.concatenate([b[None, outputs], *[w[tap][inputs, outputs] for tap in taps]])
        padded = np.zeros((len(rows), -(-rows.shape[1] // panel), panel), w.dtype)
        padded.reshape(len(rows), -1)[:, : rows.shape[1]] = rows
        parts.append(padded.swapaxes(0, 1).ravel())
    return np.concatenate(parts)


def sample(x, u, *rest, net, scale, shift, logits):
    *weights, y, seen = rest
    panel = VECTORS * BYTES // x.itemsize
    plan = program(net, tuple(w.shape for w in weights[::2]), *x.shape[2:], panel)
    tiles = -(-len(x) // ROWS)
    group = ROWS * max(1, min(GROUP, -(-tiles // get_num_threads())))
    count, number = -(-len(x) // group), x.dtype.type
    _walk(
        count <= 1, count, x, u.astype(np.float64), y, seen, _packed(plan, weights, panel), plan.first, plan.steps,
        plan.values, plan.taps, plan.size, number(scale), number(shift), group,
    )  # fmt: skip
