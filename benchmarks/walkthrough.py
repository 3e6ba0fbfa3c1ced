"""One convolution from naive to fast, in steps that each fit on a screen; `python -m tinygen.benchmarks walkthrough`.

The layer is PixelCNN's: relu(x * w + b) with 3x3 taps, of which mask "B" keeps the five up to the centre.

    x (N, H, W, C), w (3, 3, C, O), b (O,) -> y (N, H, W, O), float32, one thread

Each step is checked against the first and timed.  Rates count what has to be computed, 2 N H W 5 C O operations, so a
step that multiplies zeros pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from tinygen import kernels
from tinygen.kernels._numba import jit
from tinygen.kernels._simd import ROWS, fill, put, rank1, span, width

from . import counts, machine
from .harness import BenchmarkError

SHAPE, OUT = (16, 28, 28, 64), 64  # the shape of x, and O
HOW = {"pad": ((1, 1), (1, 1)), "mask": "B"}
TOLERANCE = 1e-5  # of the largest entry

Array = np.ndarray


def masked(w: Array) -> Array:
    """w with zeros where mask "B" is."""
    w = w.copy()
    w[1, 2:] = 0
    w[2:] = 0
    return w


def padded(x: Array) -> Array:
    """x with a border of zeros, one pixel wide."""
    return np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


def naive(x: Array, w: Array, b: Array) -> Array:
    """1. As in the textbook: for every pixel its window times the weights.  The interpreter takes the time."""
    n, h, wide, _ = x.shape
    x, w = padded(x), masked(w)
    y = np.empty((n, h, wide, len(b)), x.dtype)
    for image in range(n):
        for i in range(h):
            for j in range(wide):
                y[image, i, j] = np.tensordot(x[image, i : i + 3, j : j + 3], w, 3) + b
    return np.maximum(y, 0)


@jit
def _sums(x, w, b, y):
    n, h, wide, o = y.shape
    for image in range(n):
        for i in range(h):
            for j in range(wide):
                for k in range(o):
                    total = b[k]
                    for di in range(3):
                        for dj in range(3):
                            for c in range(x.shape[3]):
                                total += x[image, i + di, j + dj, c] * w[di, dj, c, k]
                    y[image, i, j, k] = max(total, 0)


def compiled(x: Array, w: Array, b: Array) -> Array:
    """2. Every loop written out, compiled.  An addition waits for the last, and w is read with a stride."""
    y = np.empty((*x.shape[:3], len(b)), x.dtype)
    _sums(padded(x), masked(w), b, y)
    return y


def unfolded(x: Array, w: Array, b: Array) -> Array:
    """3. im2col: every window becomes a row, and a library multiplies matrices.  x is written out nine times over."""
    windows = np.lib.stride_tricks.sliding_window_view(padded(x), (3, 3), (1, 2))  # (N, H, W, C, 3, 3)
    rows = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 9 * x.shape[3])
    y = rows @ masked(w).reshape(rows.shape[1], -1)
    return np.maximum(y + b, 0).reshape(*x.shape[:3], -1)


@jit
def _rows(x, w, b, y):
    n, h, wide, o = y.shape
    for image in range(n):
        for i in range(h):
            for j in range(wide):
                y[image, i, j] = b
                for di in range(3):
                    for dj in range(3):
                        for c in range(x.shape[3]):
                            value = x[image, i + di, j + dj, c]
                            for k in range(o):
                                y[image, i, j, k] += value * w[di, dj, c, k]
                for k in range(o):
                    y[image, i, j, k] = max(y[image, i, j, k], 0)


def channels_last(x: Array, w: Array, b: Array) -> Array:
    """4. The channels of the output innermost: neighbours in memory, so the compiler adds a vector of them at once.

    No copy of x, but y is loaded and stored for every multiply-add.
    """
    y = np.empty((*x.shape[:3], len(b)), x.dtype)
    _rows(padded(x), masked(w), b, y)
    return y


@jit
def _tiles(x, w, b, y, n, h, wide, c, o, height):
    for image in range(n):
        for i in range(h):
            for j in range(0, wide, height):
                from_, to = span(j, 0, wide - 1, c), span(j, 0, wide - 1, o)  # pixels of the tile; the last repeats
                for k in range(0, o, width(x)):
                    acc = fill(b, k, to)
                    for di in range(3):
                        for dj in range(3):
                            at = ((image * (h + 2) + i + di) * (wide + 2) + dj) * c
                            for channel in range(c):
                                acc = rank1(acc, x, from_, at + channel, w, ((3 * di + dj) * c + channel) * o + k)
                    put(acc, y, to, (image * h + i) * wide * o + k, o - k)


def tiled(x: Array, w: Array, b: Array) -> Array:
    """5. A tile of pixels and channels stays in registers over all taps: one load of w serves every pixel of the tile.

    Sixteen sums at once hide the latency of a multiply-add.  relu is one more pass over y.
    """
    n, h, wide, c = x.shape
    y = np.empty((n, h, wide, len(b)), x.dtype)
    _tiles(padded(x).ravel(), masked(w).ravel(), b, y.ravel(), n, h, wide, c, len(b), ROWS)
    return np.maximum(y, 0, out=y)


def finished(x: Array, w: Array, b: Array) -> Array:
    """6. The kernel: the tile; weights packed in the order they are read; dead taps not listed; no padded copy.

    A tap outside the image reads a row of zeros, and bias and relu stay in registers: kernels/conv/cpu.py.
    """
    return kernels.conv.conv2d_bias_act(x, w, b, activation="relu", **HOW)


STEPS: tuple[tuple[str, Callable[[Array, Array, Array], Array]], ...] = (
    ("a loop over the pixels in NumPy", naive),
    ("loops over everything in Numba", compiled),
    ("im2col and a matrix product", unfolded),
    ("channels-last loops that vectorise", channels_last),
    ("register tile", tiled),
    ("tile, packing, masked taps, epilogue", finished),
)


def layer(shape: tuple[int, ...] = SHAPE, out: int = OUT) -> tuple[Array, Array, Array]:
    """x, w and b, standard normal."""
    generator = np.random.Generator(np.random.Philox(0))
    x, w, b = (generator.standard_normal(s).astype(np.float32) for s in (shape, (3, 3, shape[3], out), (out,)))
    return x, w, b


def check(x: Array, w: Array, b: Array) -> None:
    """Raises BenchmarkError where a step differs from the first by more than rounding."""
    expected = naive(x, w, b)
    for name, step in STEPS[1:]:
        worst = float(np.abs(step(x, w, b) - expected).max() / np.abs(expected).max())
        if not worst <= TOLERANCE:
            raise BenchmarkError(f"walkthrough: {name!r} differs from the first step by {worst:.2g} of the largest")


def table() -> str:
    """Milliseconds, GFLOP/s and the share of one thread's measured rate, for every step; checked first."""
    x, w, b = layer()
    check(x, w, b)
    flops = counts.flops("conv2d_bias_act", (x, w, b), (finished(x, w, b),), HOW)
    rate = machine.fma_loop(1).rate()
    lines = [f"{'':38}{'ms':>9}{'GFLOP/s':>10}{'of the rate':>13}"]
    for name, step in STEPS:
        seconds = machine.fastest(partial(step, x, w, b))
        gflops = flops / seconds / 1e9
        lines.append(f"{name:38}{1e3 * seconds:9.2f}{gflops:10.2f}{gflops / rate:13.1%}")
    return "\n".join([*lines, f"measured rate of one thread: {rate:.1f} GFLOP/s"])
