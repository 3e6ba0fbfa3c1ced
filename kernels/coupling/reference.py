"""The specification of affine coupling in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def sum_events(s: Array) -> Array:
    """Sum over every axis but the first, in float64.  (N, ...) -> (N,)."""
    return s.sum(axis=tuple(range(1, s.ndim)), dtype=np.float64)


def per_example(v: Array, x: Array) -> Array:
    """(N,) with as many axes of length 1 as x has further ones."""
    return v.reshape(-1, *[1] * (x.ndim - 1))


def affine_coupling(x: Array, s: Array, t: Array, y: Array, log_det: Array) -> None:
    y[...] = x * np.exp(s) + t
    log_det[:] = sum_events(s)


def affine_coupling_grad(g_y: Array, g_log_det: Array, x: Array, s: Array, g_x: Array, g_s: Array) -> None:
    g_x[...] = g_y * np.exp(s)
    g_s[...] = g_x * x + per_example(g_log_det, x)


def affine_coupling_inverse(y: Array, s: Array, t: Array, x: Array, log_det: Array) -> None:
    x[...] = (y - t) * np.exp(-s)
    log_det[:] = -sum_events(s)


def affine_coupling_inverse_grad(
    g_x: Array, g_log_det: Array, x: Array, s: Array, g_y: Array, g_s: Array, g_t: Array
) -> None:
    g_y[...] = g_x * np.exp(-s)
    g_s[...] = -g_x * x - per_example(g_log_det, x)
    g_t[...] = -g_y
