"""Affine coupling of RealNVP (Dinh, Sohl-Dickstein, Bengio 2017, equations 7 and 8), log-determinant included.

x, y, s, t and their cotangents share one shape (N, ...); a log_det has shape (N,) and counts every axis but the first.

The masked kernels take what the coupling's network gave as it is, h (N, ..., 2C) beside x (N, ..., C), a scale (C,) and
a mask of x's shape without N, 1 where x is kept:

    s = scale * tanh(h[..., :C]) * (1 - mask),    t = h[..., C:] * (1 - mask)
"""

from __future__ import annotations

from typing import Any

from .._kernel import Spec, kernel, like

Array = Any


@kernel("y", "log_det")
def affine_coupling(x: Array, s: Array, t: Array) -> tuple[Spec, Spec]:
    """y = x * exp(s) + t, log_det = sum of s.  16 bytes an element in float32."""
    return like(x), Spec(x.shape[:1], x.dtype)


@kernel("g_x", "g_s")
def affine_coupling_grad(g_y: Array, g_log_det: Array, x: Array, s: Array) -> tuple[Spec, Spec]:
    """g_x = g_y * exp(s), g_s = g_x * x + g_log_det.  (g_t is g_y itself.)"""
    return like(x), like(x)


@kernel("x", "log_det")
def affine_coupling_inverse(y: Array, s: Array, t: Array) -> tuple[Spec, Spec]:
    """x = (y - t) * exp(-s), log_det = -(sum of s)."""
    return like(y), Spec(y.shape[:1], y.dtype)


@kernel("g_y", "g_s", "g_t")
def affine_coupling_inverse_grad(g_x: Array, g_log_det: Array, x: Array, s: Array) -> tuple[Spec, Spec, Spec]:
    """g_y = g_x * exp(-s), g_s = -g_x * x - g_log_det, g_t = -g_y; x is the output."""
    return like(x), like(x), like(x)


@kernel("y", "log_det")
def masked_affine_coupling(x: Array, h: Array, scale: Array, mask: Array) -> tuple[Spec, Spec]:
    """y = x * exp(s) + t, log_det = sum of s.  16 bytes an element of x in float32."""
    return like(x), Spec(x.shape[:1], x.dtype)


@kernel("g_x", "g_h", "g_scale")
def masked_affine_coupling_grad(
    g_y: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array
) -> tuple[Spec, Spec, Spec]:
    """With a = tanh(h[..., :C]), g_x = g_y * exp(s) and g_s = g_x * x + g_log_det:

    g_h = (g_s * scale * (1 - mask) * (1 - a**2), g_y * (1 - mask)) side by side;
    g_scale = sum of g_s * a * (1 - mask) over all axes but the last.  28 bytes an element of x in float32.
    """
    return like(x), like(h), like(scale)


@kernel("x", "log_det")
def masked_affine_coupling_inverse(y: Array, h: Array, scale: Array, mask: Array) -> tuple[Spec, Spec]:
    """x = (y - t) * exp(-s), log_det = -(sum of s)."""
    return like(y), Spec(y.shape[:1], y.dtype)


@kernel("g_y", "g_h", "g_scale")
def masked_affine_coupling_inverse_grad(
    g_x: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array
) -> tuple[Spec, Spec, Spec]:
    """As the gradient above with g_y = g_x * exp(-s), g_s = -g_x * x - g_log_det and g_t = -g_y; x is the output."""
    return like(x), like(h), like(scale)


@kernel("first", "last", "bias", "gain")
def live_weights(w_in: Array, w_out: Array, b_out: Array, scale: Array, *, kept: int) -> tuple[Spec, Spec, Spec, Spec]:
    """The part of a dense coupling's first and last layer that its mask lets live.

    The mask keeps the entries kept, kept + 2, ... of D, K of them, and moves the other M:
    first (K, H) = w_in[kept::2], last (H, 2 M) and bias (2 M,) = the columns of w_out and entries of b_out that make s
    and t of what moves, gain (M,) = scale[1 - kept :: 2].
    """
    d, h = w_in.shape
    k, m = len(range(kept, d, 2)), len(range(1 - kept, d, 2))
    t = w_in.dtype
    return Spec((k, h), t), Spec((h, 2 * m), t), Spec((2 * m,), t), Spec((m,), t)


@kernel("g_w_in", "g_w_out", "g_b_out", "g_scale")
def live_weights_grad(
    g_first: Array, g_last: Array, g_bias: Array, g_gain: Array, *, kept: int
) -> tuple[Spec, Spec, Spec, Spec]:
    """The parts put back where `live_weights` took them from, among zeros."""
    (k, h), t = g_first.shape, g_first.dtype
    d = k + g_gain.size
    return Spec((d, h), t), Spec((h, 2 * d), t), Spec((2 * d,), t), Spec((d,), t)
