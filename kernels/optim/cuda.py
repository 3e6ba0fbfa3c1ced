"""Launches of optim.cu: an update is a launch for each gradient, on its stretch of the block and of the buffers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.rows import THREADS, planned
from .._cuda.source import Source
from .._devices import beside, to_numpy
from .._prepared import prepared, unprepared
from ..reduce.cuda import sum as summed
from ..shape.cuda import copy
from . import NotFinite

Array = Any

SOURCE = Source(__file__, "optim.cu", T=("float32", "float64"))
FLOAT64 = np.dtype(np.float64)


def _entries(name: str, n: int, args: tuple[Any, ...], dtype: np.dtype) -> None:
    """A kernel with a thread for each of n entries."""
    launch(SOURCE, f"optim_{name}", (-(-n // THREADS),), (THREADS,), args, T=dtype)


@prepared
def advance(step: Array, next_step: Array) -> None:
    launch(SOURCE, "optim_advance", (1,), (1,), (step, next_step), T=FLOAT64)


def schedule(step: Array, lr: Array, *, function: Callable[[int], float]) -> None:
    unprepared()
    lr.set(np.array([function(int(to_numpy(step)[0]))], np.float64))


@prepared
def gather(*arrays: Array) -> None:
    *parts, flat = arrays
    start = 0
    for a in parts:
        copy(a.reshape(a.size), flat[start : start + a.size])
        start += a.size


@prepared
def sum_squares(*arrays: Array) -> None:
    *gs, total = arrays
    plans = [planned(1, g.size, split=True) for g in gs]
    ends = [0, *accumulate(plan.parts for plan in plans)]
    partial = beside(total).zeros((1, ends[-1]), np.float64)
    for g, plan, start, stop in zip(gs, plans, ends, ends[1:]):
        args = g, partial.reshape(ends[-1])[start:stop], plan.shape
        launch(SOURCE, "optim_squares", plan.grid, plan.block, args, T=g.dtype)
    summed(partial, total, axes=(1,), keepdims=False, divisor=1)


@prepared
def clip_scale(*arrays: Array, max_norm: float) -> None:
    *squares, scale, norm = arrays
    several = beside(scale).empty(len(squares), np.float64)
    gather(*squares, several)
    args = several, scale, norm, np.int64(len(squares)), np.float64(max_norm)
    launch(SOURCE, "optim_clip_scale", (1,), (1,), args, T=FLOAT64)


@prepared
def scaled(x: Array, scale: Array, y: Array) -> None:
    _entries("scaled", x.size, (x, scale, y, np.int64(x.size)), x.dtype)


def _update(name: str, buffers: int, numbers: int) -> Callable[..., None]:
    """The kernel (p, *buffers, *numbers, *gs, new_p, *new_buffers, **options); numbers: scale, lr, and maybe step."""

    @prepared
    def run(*arrays: Array, **options: Any) -> None:
        blocks, rest = arrays[: buffers + 1], arrays[buffers + 1 :]
        given, gs, outs = rest[:numbers], rest[numbers : -buffers - 1], rest[-buffers - 1 :]
        values = [np.int32(v) if isinstance(v, bool) else np.float64(v) for v in options.values()]
        start = 0
        for g in gs:
            here = slice(start, start + g.size)
            old, new = [a[here] for a in blocks], [a[here] for a in outs]
            _entries(name, g.size, (*old, *given, g, *new, np.int64(g.size), *values), g.dtype)
            start += g.size

    return run


sgd, rmsprop, adadelta = _update("sgd", 1, 2), _update("rmsprop", 3, 2), _update("adadelta", 2, 2)
adam, adamax = _update("adam", 2, 3), _update("adamax", 2, 3)


@prepared
def ema(average: Array, p: Array, new_average: Array, *, decay: float) -> None:
    _entries("ema", p.size, (average, p, new_average, np.int64(p.size), np.float64(decay)), p.dtype)


def require_finite(loss: Array, norm: Array, *, of: str) -> None:
    unprepared()
    value = float(to_numpy(loss))
    if not np.isfinite(value) or not np.isfinite(to_numpy(norm)[0]):
        raise NotFinite(of, value)
