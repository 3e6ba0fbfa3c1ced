"""The specification of the normalisations in NumPy, with statistics in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any


def flat(x: Array) -> Array:
    """(..., C) -> float64 (M, C)."""
    return x.reshape(x.size // max(1, x.shape[-1]), x.shape[-1]).astype(np.float64)


def bent(v: Array, by: Array, slope: float) -> Array:
    """v, times slope where `by` is not positive."""
    return v if slope == 1 else np.where(by > 0, v, slope * v)


def batch_norm(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float, slope: float
) -> None:
    rows = flat(x)
    mean[:], var[:] = rows.mean(axis=0), rows.var(axis=0)
    z = (rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + eps) * gamma + beta
    y[...] = bent(z, z, slope).reshape(y.shape)


def batch_norm_grad(
    g_y: Array, g_mean: Array, g_var: Array, x: Array, gamma: Array, beta: Array, mean: Array, var: Array,
    g_x: Array, g_gamma: Array, g_beta: Array, *, eps: float, slope: float,
) -> None:  # fmt: skip
    centred = flat(x) - mean
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    x_hat, count = centred * inverse, max(1, len(centred))
    g = bent(flat(g_y), x_hat * gamma + beta, slope)
    by_beta, by_gamma = g.sum(axis=0), (g * x_hat).sum(axis=0)
    by_x = gamma * inverse * (g - by_beta / count - x_hat * by_gamma / count)
    g_x[...] = (by_x + (g_mean + 2 * g_var * centred) / count).reshape(g_x.shape)
    g_gamma[:], g_beta[:] = by_gamma, by_beta


def batch_norm_eval(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float, slope: float
) -> None:
    z = (x - mean) / np.sqrt(var + eps) * gamma + beta
    y[...] = bent(z, z, slope)


def running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, new_mean: Array, new_var: Array,
    *, momentum: float, rows: int,
) -> None:  # fmt: skip
    new_mean[:] = (1 - momentum) * running_mean + momentum * mean
    new_var[:] = (1 - momentum) * running_var + momentum * var * (rows / (rows - 1))


def layer_norm(x: Array, gamma: Array, beta: Array, y: Array, *, eps: float) -> None:
    rows = flat(x)
    centred = rows - rows.mean(axis=1, keepdims=True)
    y[...] = (centred / np.sqrt(rows.var(axis=1, keepdims=True) + eps) * gamma + beta).reshape(y.shape)


def layer_norm_grad(g: Array, x: Array, gamma: Array, g_x: Array, g_gamma: Array, g_beta: Array, *, eps: float) -> None:
    rows, by_y = flat(x), flat(g)
    inverse = 1 / np.sqrt(rows.var(axis=1, keepdims=True) + eps)
    x_hat = (rows - rows.mean(axis=1, keepdims=True)) * inverse
    d = by_y * gamma
    by_x = inverse * (d - d.mean(axis=1, keepdims=True) - x_hat * (d * x_hat).mean(axis=1, keepdims=True))
    g_x[...] = by_x.reshape(g_x.shape)
    g_gamma[:], g_beta[:] = (by_y * x_hat).sum(axis=0), by_y.sum(axis=0)


def weight_norm(v: Array, gain: Array, w: Array) -> None:
    rows = flat(v)
    w[...] = (gain * rows / np.sqrt((rows**2).sum(axis=0))).reshape(w.shape)


def weight_norm_grad(g: Array, v: Array, gain: Array, g_v: Array, g_gain: Array) -> None:
    rows, by_w = flat(v), flat(g)
    norm = np.sqrt((rows**2).sum(axis=0))
    u = rows / norm
    by_gain = (by_w * u).sum(axis=0)
    g_gain[:] = by_gain
    g_v[...] = (gain / norm * (by_w - u * by_gain)).reshape(g_v.shape)
