"""Normalisation: batch (Ioffe and Szegedy 2015), layer (Ba, Kiros, Hinton 2016) and weight (Salimans and Kingma 2016).

Batch and weight statistics run over all axes but the last, layer statistics over the last: x is seen as (M, C).
Variances are biased, that is divided by the count.  Statistics are taken in float64, in one pass over memory: each
block of rows has its own mean and squared deviations, and blocks are merged in order (Chan, Golub, LeVeque 1983).
"""

from __future__ import annotations

from typing import Any

from .._kernel import Spec, kernel, like

Array = Any


@kernel("y", "mean", "var")
def batch_norm(
    x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5, slope: float = 1.0
) -> tuple[Spec, Spec, Spec]:
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, with the statistics of x, times `slope` where that is negative.

    x (..., C), gamma, beta (C,).  A slope of 1 does nothing, 0 is relu.
    """
    return like(x), like(gamma), like(gamma)


@kernel("g_x", "g_gamma", "g_beta")
def batch_norm_grad(
    g_y: Array, g_mean: Array, g_var: Array, x: Array, gamma: Array, beta: Array, mean: Array, var: Array,
    *, eps: float = 1e-5, slope: float = 1.0,
) -> tuple[Spec, Spec, Spec]:  # fmt: skip
    """All cotangents of batch_norm.  With x_hat = (x - mean) / sqrt(var + eps), M rows, and g = g_y, times `slope`
    where x_hat * gamma + beta is not positive (worked out again: less traffic than reading y):

    g_beta = sum of g;  g_gamma = sum of g * x_hat;
    g_x = gamma / sqrt(var + eps) * (g - g_beta / M - x_hat * g_gamma / M) + (g_mean + 2 g_var (x - mean)) / M.
    """
    return like(x), like(gamma), like(gamma)


@kernel("y")
def batch_norm_eval(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, *, eps: float = 1e-5, slope: float = 1.0
) -> Spec:
    """batch_norm's y with given statistics (C,)."""
    return like(x)


@kernel("new_mean", "new_var")
def running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, *, momentum: float, rows: int
) -> tuple[Spec, Spec]:
    """running = (1 - momentum) * running + momentum * new; the new variance is made unbiased by rows / (rows - 1)."""
    return like(running_mean), like(running_var)


@kernel("y")
def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> Spec:
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, with each row's statistics.  x (..., C), gamma, beta (C,)."""
    return like(x)


@kernel("g_x", "g_gamma", "g_beta")
def layer_norm_grad(g: Array, x: Array, gamma: Array, *, eps: float = 1e-5) -> tuple[Spec, Spec, Spec]:
    """With x_hat and r = 1 / sqrt(var + eps) of the row: g_beta = sum of g and g_gamma = sum of g * x_hat, over rows;
    g_x = r * (g * gamma - mean of g * gamma - x_hat * mean of g * gamma * x_hat), means over the row."""
    return like(x), like(gamma), like(gamma)


@kernel("w")
def weight_norm(v: Array, gain: Array) -> Spec:
    """w = gain * v / |v|, the norm taken over all axes but the last.  v (..., O), gain (O,).  A zero v gives NaN."""
    return like(v)


@kernel("g_v", "g_gain")
def weight_norm_grad(g: Array, v: Array, gain: Array) -> tuple[Spec, Spec]:
    """With u = v / |v|: g_gain = sum of g * u;  g_v = gain / |v| * (g - u * g_gain)."""
    return like(v), like(gain)
