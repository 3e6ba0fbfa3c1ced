"""Launches of conv.cu and pool.cu: the CPU's sums in another order, equal to rounding, and the same on every device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .._cuda.epilogue import After, after, nothing
from .._cuda.launcher import launch
from .._cuda.scratch import room
from .._cuda.source import Source
from .._cuda.tile import ENTRIES, THREADS, entries, kind, parts, tiles
from .._devices import DeviceError
from .._prepared import effect, prepared
from ..matmul import steps
from ..matmul.cuda import activate, combine
from . import Pads, Pair, blocks

Array = Any
Shape = tuple[int, ...]

CONV = Source(__file__, "conv.cu", T=("float32", "float64", "tf32"))
POOL = Source(__file__, "pool.cu", T=("float32", "float64"))
LONG = 1 << 30  # a side of an image that conv.cu does not count
WARP, POOLED = 32, 256  # threads: what a block has a multiple of, and at most for a line of pixels


def _layout(kind: str, fields: str) -> np.dtype:
    """A struct of integers of one kind; a star marks a pair."""
    return np.dtype([(name.strip("*"), kind, 2 if name.endswith("*") else ()) for name in fields.split()])


WINDOW = _layout(
    "<i8",
    "images read* walked* phases* grid* move* step* shift* width first taps "
    "read_channels read_begin c walked_channels walked_begin o w_begin w_tap w_c w_o",
)
POOLING = _layout("<i4", "x_hw* y_hw* size* stride* c")


class Part(NamedTuple):
    """A dense convolution, or the adjoint of one."""

    window: np.ndarray  # `Window` of conv.cu
    rows: int  # taps times channels that are read
    columns: int  # channels that are walked
    blocks: int  # in which it is gathered
    parts: int  # into which its sums are cut
    each: int  # terms of a part


def _filled(layout: np.dtype, **values: Any) -> np.ndarray:
    made = np.zeros((), layout)
    for name, value in values.items():
        made[name] = value
    return made


@lru_cache(maxsize=1024)
def _parts(
    x_shape: Shape, y_shape: Shape, w_shape: tuple[int, int, int, int], adjoint: bool, stride: Pair, pad: Pads,
    dilation: Pair, mask: str | None, colors: int,
) -> tuple[Part, ...]:  # fmt: skip
    """The convolution from x to y as a sum of dense ones, or with `adjoint` its adjoint, which reads y and walks x."""
    width, c, o = w_shape[1:]
    read, walked = (y_shape, x_shape) if adjoint else (x_shape, y_shape)
    sign, phases, move = (-1, stride, (1, 1)) if adjoint else (1, (1, 1), stride)
    grid = [-(-n // phase) for n, phase in zip(walked[1:3], phases)]
    if max(*read[1:3], *walked[1:3]) >= LONG:
        raise DeviceError(f"conv: images of {read[1:3]} and {walked[1:3]} pixels; on CUDA a side has less than 2^30")
    made = []
    for taps, inputs, outputs in blocks(w_shape, mask, colors):
        seen, made_of = (outputs, inputs) if adjoint else (inputs, outputs)
        starts = [channels.start or 0 for channels in (inputs, outputs, seen, made_of)]
        depth, columns = seen.stop - starts[2], made_of.stop - starts[3]
        window = _filled(
            WINDOW, images=walked[0], read=read[1:3], walked=walked[1:3], phases=phases, grid=grid, move=move,
            step=[sign * n for n in dilation], shift=[-sign * before for before, _ in pad],
            width=width, first=taps[0][0] * width + taps[0][1] if taps else 0, taps=len(taps),  # a run in raster order
            read_channels=read[3], read_begin=starts[2], c=depth,
            walked_channels=walked[3], walked_begin=starts[3], o=columns,
            w_begin=starts[0] * o + starts[1], w_tap=c * o, w_c=1 if adjoint else o, w_o=o if adjoint else 1,
        )  # fmt: skip
        units = tiles(columns) * tiles(walked[0] * grid[0] * grid[1]) * phases[0] * phases[1]
        rows = len(taps) * depth
        # where there is a mask, sampling (causal.cu) sums in the same order
        count, each = parts(units, rows) if mask is None else (1, rows)
        made.append(Part(window, rows, columns, units * count, count, each))
    return tuple(made)


def _correlate(x: Array, w: Array, y: Array, then: After | None = None, *, adjoint: bool = False, **how: Any) -> None:
    """y = the sum of the dense convolutions, or of their adjoints, then the steps; the first has all channels."""
    images = (y, x) if adjoint else (x, y)
    whole, *rest = _parts(*[a.shape for a in images], w.shape, adjoint, **how)
    cut = whole.parts > 1
    sums = room(y, whole.parts * y.size) if cut else y
    last = nothing(y) if rest or then is None else then
    for i, (window, _, _, count, pieces, each) in enumerate((whole, *rest)):
        args = x, w, sums, *map(np.int64, (i > 0, pieces, each)), window, *last
        launch(CONV, "conv_gather", (count,), (THREADS,), args, T=kind(y))
    if cut or (rest and then is not None):
        combine(sums, y, whole.parts, then or nothing(y))


@prepared
def conv2d(x: Array, w: Array, y: Array, **how: Any) -> None:
    _correlate(x, w, y, **how)


@prepared
def conv2d_bias_act(x: Array, w: Array, b: Array, y: Array, *, activation: str | None, **how: Any) -> None:
    then = steps(activation)
    _correlate(x, w, y, after(then, (b, y))[1], **how)
    activate(y, activation, then)


@prepared
def conv2d_input_grad(g: Array, w: Array, g_x: Array, *, x_hw: Pair, **how: Any) -> None:
    _correlate(g, w, g_x, adjoint=True, **how)


@prepared
def conv2d_then(x: Array, w: Array, *rest: Array, then: tuple[Any, ...], x_hw: Pair | None, **how: Any) -> None:
    y, arguments = after(then, rest)
    _correlate(x, w, y, arguments, adjoint=x_hw is not None, **how)


def _weight_grad(x: Array, g: Array, g_w: Array, g_b: Array | None, **how: Any) -> None:
    """The sum of the dense weight gradients, and the sum of g over all pixels."""
    dense = _parts(x.shape, g.shape, g_w.shape, False, **how)
    pixels = g.size // g.shape[3]
    if dense[0].rows * dense[0].columns < g_w.size:
        effect(g_w.fill, 0)
    for i, (window, rows, columns, *_) in enumerate(dense):
        total = g_b if i == 0 else None
        tiled = tiles(columns) * max(tiles(rows), total is not None)
        count, each = parts(tiled, pixels)
        sums = room(g_w, count * rows * columns)
        totals = None if total is None else room(total, count * columns)
        walk = x, g, sums, totals, np.int64(each), window
        launch(CONV, "conv_weight_sums", (tiled * count,), (THREADS,), walk, T=kind(g_w))
        add = sums, g_w, np.int64(count), np.int64(i > 0), window
        launch(CONV, "conv_add_parts", entries(rows * columns), (ENTRIES,), add, T=g_w.dtype)
        if total is not None:
            combine(totals, total, count, nothing(total))


@prepared
def conv2d_weight_grad(x: Array, g: Array, g_w: Array, *, k: Pair, **how: Any) -> None:
    _weight_grad(x, g, g_w, None, **how)


@prepared
def conv2d_weight_bias_grad(x: Array, g: Array, g_w: Array, g_b: Array, *, k: Pair, **how: Any) -> None:
    _weight_grad(x, g, g_w, g_b, **how)


# -- pooling ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _pooling(x_shape: Shape, y_hw: Pair, size: Pair, stride: Pair) -> np.ndarray:
    """`Pool` of pool.cu.  Raises DeviceError for lines of pixels that it does not count in 32 bits."""
    if max(x_shape[2], y_hw[1]) * x_shape[3] >= 2 * LONG or max(x_shape[1:3]) >= LONG:
        raise DeviceError(f"pool: images of {x_shape[1:]}; on CUDA a line of pixels has less than 2^31 entries")
    return _filled(POOLING, x_hw=x_shape[1:3], y_hw=y_hw, size=size, stride=stride, c=x_shape[3])


def _pool(name: str, x: Array, y: Array, out: Array, args: tuple[Any, ...], size: Pair, stride: Pair) -> None:
    """Launch for each entry of out; windows lie in images like x, and each gives a pixel of one like y."""
    n, height, width, c = out.shape
    threads = min(POOLED, -(-width * c // WARP) * WARP)
    grid = (n * height * -(-width * c // threads),)
    how = _pooling(x.shape, y.shape[1:3], size, stride)
    launch(POOL, name, grid, (threads,), (*args, how), T=out.dtype)


@prepared
def pool2d(x: Array, y: Array, *, size: Pair, stride: Pair, factor: float) -> None:
    _pool("pool2d", x, y, y, (x, y, x.dtype.type(factor)), size, stride)


@prepared
def pool2d_grad(g: Array, g_x: Array, *, x_hw: Pair, size: Pair, stride: Pair, factor: float) -> None:
    _pool("pool2d_grad", g_x, g, g_x, (g, g_x, g.dtype.type(factor)), size, stride)


@prepared
def max_pool2d(x: Array, v: Array, y: Array, *, size: Pair, stride: Pair) -> None:
    _pool("max_pool2d", x, y, y, (x, v, y), size, stride)


@prepared
def max_pool2d_grad(x: Array, g: Array, g_v: Array, *, size: Pair, stride: Pair) -> None:
    _pool("max_pool2d_grad", x, g, g_v, (x, g, g_v), size, stride)
