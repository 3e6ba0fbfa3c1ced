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


def parts(h: Array, scale: Array, mask: Array) -> tuple[Array, Array, Array]:
    """tanh of the first half of h, and s and t."""
    a, t = np.split(h, 2, axis=-1)
    a = np.tanh(a)
    return a, scale * a * (1 - mask), t * (1 - mask)


def through_network(a: Array, g_s: Array, g_t: Array, scale: Array, mask: Array, g_h: Array, g_scale: Array) -> None:
    """From the cotangents of s and t to those of h and scale."""
    g_h[...] = np.concatenate([g_s * scale * (1 - mask) * (1 - a**2), g_t * (1 - mask)], axis=-1)
    g_scale[:] = (g_s * a * (1 - mask)).sum(axis=tuple(range(a.ndim - 1)), dtype=np.float64)


def masked_affine_coupling(x: Array, h: Array, scale: Array, mask: Array, y: Array, log_det: Array) -> None:
    _, s, t = parts(h, scale, mask)
    affine_coupling(x, s, t, y, log_det)


def masked_affine_coupling_grad(
    g_y: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array,
    g_x: Array, g_h: Array, g_scale: Array,
) -> None:  # fmt: skip
    (a, s, _), g_s = parts(h, scale, mask), np.empty_like(x)
    affine_coupling_grad(g_y, g_log_det, x, s, g_x, g_s)
    through_network(a, g_s, g_y, scale, mask, g_h, g_scale)


def masked_affine_coupling_inverse(y: Array, h: Array, scale: Array, mask: Array, x: Array, log_det: Array) -> None:
    _, s, t = parts(h, scale, mask)
    affine_coupling_inverse(y, s, t, x, log_det)


def masked_affine_coupling_inverse_grad(
    g_x: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array,
    g_y: Array, g_h: Array, g_scale: Array,
) -> None:  # fmt: skip
    (a, s, _), g_s, g_t = parts(h, scale, mask), np.empty_like(x), np.empty_like(x)
    affine_coupling_inverse_grad(g_x, g_log_det, x, s, g_y, g_s, g_t)
    through_network(a, g_s, g_t, scale, mask, g_h, g_scale)


def live_columns(dims: int, kept: int) -> Array:
    """Which of the 2 D outputs of a network are s and t of an entry that moves."""
    moved = np.arange(1 - kept, dims, 2)
    return np.concatenate([moved, dims + moved])


def live_weights(
    w_in: Array, w_out: Array, b_out: Array, scale: Array, first: Array, last: Array, bias: Array, gain: Array, *,
    kept: int,
) -> None:  # fmt: skip
    columns = live_columns(len(w_in), kept)
    first[...], last[...], bias[:], gain[:] = w_in[kept::2], w_out[:, columns], b_out[columns], scale[1 - kept :: 2]


def live_weights_grad(
    g_first: Array, g_last: Array, g_bias: Array, g_gain: Array,
    g_w_in: Array, g_w_out: Array, g_b_out: Array, g_scale: Array, *, kept: int,
) -> None:  # fmt: skip
    columns = live_columns(len(g_w_in), kept)
    for g in (g_w_in, g_w_out, g_b_out, g_scale):
        g[...] = 0
    g_w_in[kept::2], g_w_out[:, columns], g_b_out[columns], g_scale[1 - kept :: 2] = g_first, g_last, g_bias, g_gain
