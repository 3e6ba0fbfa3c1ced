"""Affine coupling through Numba: row by row, the exponentials vectorised, the sum taken while the row is in cache."""

from __future__ import annotations

from typing import Any

from .._math import exp, total
from .._numba import pjit, prange

Array = Any


def rows(x: Array) -> Array:
    """(N, ...) -> (N, D), also when N is 0."""
    return x.reshape(x.shape[0], x[:1].size if x.size else 0)


def affine_coupling(x: Array, s: Array, t: Array, y: Array, log_det: Array) -> None:
    _affine_coupling(rows(x), rows(s), rows(t), rows(y), log_det)


@pjit
def _affine_coupling(x, s, t, y, log_det):
    for n in prange(x.shape[0]):
        xn, sn, tn, yn = x[n], s[n], t[n], y[n]
        for i in range(xn.size):
            yn[i] = xn[i] * exp(sn[i]) + tn[i]
        log_det[n] = total(sn)


def affine_coupling_grad(g_y: Array, g_log_det: Array, x: Array, s: Array, g_x: Array, g_s: Array) -> None:
    _affine_coupling_grad(rows(g_y), g_log_det, rows(x), rows(s), rows(g_x), rows(g_s))


@pjit
def _affine_coupling_grad(g_y, g_log_det, x, s, g_x, g_s):
    for n in prange(x.shape[0]):
        g, xn, sn, gx, gs, d = g_y[n], x[n], s[n], g_x[n], g_s[n], g_log_det[n]
        for i in range(xn.size):
            v = g[i] * exp(sn[i])
            gx[i] = v
            gs[i] = v * xn[i] + d


def affine_coupling_inverse(y: Array, s: Array, t: Array, x: Array, log_det: Array) -> None:
    _affine_coupling_inverse(rows(y), rows(s), rows(t), rows(x), log_det)


@pjit
def _affine_coupling_inverse(y, s, t, x, log_det):
    for n in prange(x.shape[0]):
        xn, sn, tn, yn = x[n], s[n], t[n], y[n]
        for i in range(xn.size):
            xn[i] = (yn[i] - tn[i]) * exp(-sn[i])
        log_det[n] = -total(sn)


def affine_coupling_inverse_grad(
    g_x: Array, g_log_det: Array, x: Array, s: Array, g_y: Array, g_s: Array, g_t: Array
) -> None:
    _affine_coupling_inverse_grad(rows(g_x), g_log_det, rows(x), rows(s), rows(g_y), rows(g_s), rows(g_t))


@pjit
def _affine_coupling_inverse_grad(g_x, g_log_det, x, s, g_y, g_s, g_t):
    for n in prange(x.shape[0]):
        g, xn, sn, gy, gs, gt, d = g_x[n], x[n], s[n], g_y[n], g_s[n], g_t[n], g_log_det[n]
        for i in range(xn.size):
            v = g[i] * exp(-sn[i])
            gy[i] = v
            gs[i] = -g[i] * xn[i] - d
            gt[i] = -v
