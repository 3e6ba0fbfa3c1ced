"""Launches of batch.cu, layer.cu and weight.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.rows import THREADS, Plan, planned
from .._cuda.scratch import room
from .._cuda.source import Source
from .._prepared import prepared

Array = Any

FLOATS = "float32", "float64"
BATCH = Source(__file__, "batch.cu", T=FLOATS)
LAYER = Source(__file__, "layer.cu", T=FLOATS)
WEIGHT = Source(__file__, "weight.cu", T=FLOATS)


class _Matrix:
    """x (..., columns) as rows: how it is shared out, and launches and scratch of its type."""

    def __init__(self, x: Array):
        self._x, self.columns = x, x.shape[-1]
        self.rows = x.size // max(1, self.columns)
        self.by_rows = planned(self.rows, self.columns)
        self.in_parts = planned(1, self.rows, self.columns, split=True)  # of the rows
        self.over_parts = planned(1, self.in_parts.parts, self.columns)

    def partials(self) -> tuple[Array, Array]:
        """Two numbers of each part and column, float64."""
        shape = self.in_parts.parts, self.columns
        return room(self._x, shape, np.float64), room(self._x, shape, np.float64)

    def scratch(self, rows: int) -> Array:
        """(rows, columns) of x's dtype."""
        return room(self._x, (rows, self.columns))

    def run(self, source: Source, name: str, plan: Plan, *arrays: Array, numbers: tuple[Any, ...] = ()) -> None:
        """The kernel on arrays, the plan's shape, then numbers."""
        args = *arrays, plan.shape, *numbers
        launch(source, f"norm_{name}", plan.grid, plan.block, args, T=self._x.dtype)


# -- batch ------------------------------------------------------------------------------------------------------------


@prepared
def batch_norm(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float, slope: float
) -> None:
    m = _Matrix(x)
    partials = m.partials()
    m.run(BATCH, "part_moments", m.in_parts, x, *partials)
    numbers = np.int64(m.rows), np.int64(m.in_parts.shape["per_part"])
    m.run(BATCH, "merge", m.over_parts, *partials, mean, var, numbers=numbers)
    batch_norm_eval(x, gamma, beta, mean, var, y, eps=eps, slope=slope)


@prepared
def batch_norm_eval(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float, slope: float
) -> None:
    m = _Matrix(x)
    m.run(BATCH, "batch", m.in_parts, x, gamma, beta, mean, var, y, numbers=(np.float64(eps), np.float64(slope)))


@prepared
def batch_norm_grad(
    g_y: Array, g_mean: Array, g_var: Array, x: Array, gamma: Array, beta: Array, mean: Array, var: Array,
    g_x: Array, g_gamma: Array, g_beta: Array, *, eps: float, slope: float,
) -> None:  # fmt: skip
    m = _Matrix(x)
    partials, factors, bend = m.partials(), m.scratch(3), (np.float64(eps), np.float64(slope))
    given = g_y, x, gamma, beta, mean, var
    m.run(BATCH, "cotangent_sums", m.in_parts, *given, *partials, numbers=bend)
    made = g_mean, g_var, gamma, var, g_gamma, g_beta, factors
    m.run(BATCH, "factors", m.over_parts, *partials, *made, numbers=(np.int64(m.rows), np.float64(eps)))
    m.run(BATCH, "batch_grad", m.in_parts, *given, factors, g_x, numbers=bend)


@prepared
def running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, new_mean: Array, new_var: Array,
    *, momentum: float, rows: int,
) -> None:  # fmt: skip
    shares = map(np.float64, (1 - momentum, momentum, momentum * rows / (rows - 1)))
    args = running_mean, running_var, mean, var, new_mean, new_var, np.int64(mean.size), *shares
    launch(BATCH, "norm_running", (-(-mean.size // THREADS),), (THREADS,), args, T=mean.dtype)


# -- layer ------------------------------------------------------------------------------------------------------------


@prepared
def layer_norm(x: Array, gamma: Array, beta: Array, y: Array, *, eps: float) -> None:
    m = _Matrix(x)
    m.run(LAYER, "layer", m.by_rows, x, gamma, beta, y, numbers=(np.float64(eps),))


@prepared
def layer_norm_grad(g: Array, x: Array, gamma: Array, g_x: Array, g_gamma: Array, g_beta: Array, *, eps: float) -> None:
    m = _Matrix(x)
    statistics = room(x, m.rows, np.float64), room(x, m.rows)
    m.run(LAYER, "layer_grad", m.by_rows, g, x, gamma, g_x, *statistics, numbers=(np.float64(eps),))
    partials = m.partials()
    m.run(LAYER, "layer_sums", m.in_parts, g, x, *statistics, *partials)
    m.run(LAYER, "layer_totals", m.over_parts, *partials, g_gamma, g_beta)


# -- weight -----------------------------------------------------------------------------------------------------------


@prepared
def weight_norm(v: Array, gain: Array, w: Array) -> None:
    m = _Matrix(v)
    (squares, products), scale = m.partials(), m.scratch(1)
    m.run(WEIGHT, "weight_sums", m.in_parts, v, v, squares, products)
    m.run(WEIGHT, "weight_scale", m.over_parts, squares, gain, scale)
    m.run(WEIGHT, "weight", m.in_parts, v, scale, w)


@prepared
def weight_norm_grad(g: Array, v: Array, gain: Array, g_v: Array, g_gain: Array) -> None:
    m = _Matrix(v)
    partials, factors = m.partials(), m.scratch(2)
    m.run(WEIGHT, "weight_sums", m.in_parts, g, v, *partials)
    m.run(WEIGHT, "weight_factors", m.over_parts, *partials, gain, g_gain, factors)
    m.run(WEIGHT, "weight_grad", m.in_parts, g, v, factors, g_v)
