"""Affine coupling of RealNVP (Dinh, Sohl-Dickstein, Bengio 2017, equations 7 and 8), log-determinant included.

x, y, s, t and their cotangents share one shape (N, ...); a log_det has shape (N,) and counts every axis but the first.
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
