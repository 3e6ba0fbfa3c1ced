"""The launch of causal.cu: the program of `_program.py` as tables on the device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .._cuda.launcher import launch
from .._cuda.scratch import room
from .._cuda.source import Source
from .._devices import beside
from .._prepared import prepared
from ..shape.cuda import concat
from . import Op
from ._program import CONV, Shape, program

Array = Any

SOURCE = Source(__file__, "causal.cu", T=("float32", "float64"), U=("float32", "float64"))
THREADS = 128


class Tables(NamedTuple):
    """`Program` with weights where they lie in one line after another: w, b, w, b and so on."""

    first: Array
    steps: Array  # `Step` of causal.cu
    values: Array
    taps: Array  # `Tap` of causal.cu
    number: int  # of values
    size: int  # entries of all values of an image


@lru_cache(maxsize=64)
def _tables(net: tuple[Op, ...], shapes: tuple[Shape, ...], width: int, colors: int, device: Any) -> Tables:
    """For images (H, width, colors); shapes: of the weights, in order; device: the module that makes its arrays."""
    plan = program(net, shapes, width, colors, 1)
    sizes = [(rows * columns * c * o, o) for rows, columns, c, o in shapes]
    w_at = np.cumsum([0, *[w + b for w, b in sizes]])
    steps, matrices, layers = [], [], iter(plan.matrices)
    for step in plan.steps.tolist():
        *fields, _, adds, ends = step
        where = 0, 0, 0
        if fields[0] == CONV:
            layer, block = next(layers)
            _, columns, c, o = shapes[layer]
            begin = int(w_at[layer]) + (block.outputs.start or 0)
            where = begin, o, begin + sizes[layer][0]
            matrices += [(i * columns + j) * c * o for i, j in block.taps]
        steps.append((*fields, adds, ends, *where))
    taps = np.column_stack([plan.taps, np.array(matrices, np.int64)])
    first, made, values, places = [
        device.asarray(np.array(a, np.int32)) for a in (plan.first, steps, plan.values.tolist(), taps)
    ]
    return Tables(first, made, values, places, len(plan.values), plan.size)


@lru_cache(maxsize=256)
def _network(dtype: np.dtype, *counts: int, scale: float, shift: float) -> np.ndarray:
    """`Network` of causal.cu."""
    names = "height", "width", "colors", "values", "size", "per_entry", "logits", "unused"
    kind = [*[(name, "<i4") for name in names], ("scale", dtype), ("shift", dtype)]
    return np.array((*counts, 0, scale, shift), kind)


@prepared
def sample(x: Array, u: Array, *rest: Array, net: tuple[Op, ...], scale: float, shift: float, logits: bool) -> None:
    *weights, y, seen = rest
    n, height, width, colors = x.shape
    shapes = tuple(w.shape for w in weights[::2])
    tables = _tables(net, shapes, width, colors, beside(x))
    flat = room(x, sum(w.size for w in weights))
    concat(*[w.reshape(-1) for w in weights], flat, axis=0)
    per_entry = shapes[-1][3] // colors
    counts = height, width, colors, tables.number, tables.size, per_entry, int(logits)
    args = (
        x, u, y, seen, flat, *tables[:4], room(x, n * tables.size), room(x, n * per_entry, np.float64),
        _network(x.dtype, *counts, scale=scale, shift=shift),
    )  # fmt: skip
    launch(SOURCE, "causal_sample", (n,), (THREADS,), args, T=x.dtype, U=u.dtype)
