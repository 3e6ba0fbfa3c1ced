"""Affine coupling through Numba: row by row, the exponentials vectorised, the sum taken while the row is in cache.

A unit is some whole rows, about UNIT elements: its buffers stay close to the core, and formulas with many operands are
split into loops over them that vectorise.  The masked kernels lay the two halves of h, which alternate pixel by pixel,
into such buffers; scale and mask come as two rows of factors that all examples share.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._math import exp, tanh, total
from .._numba import inlined
from .._units import units

Array = Any

UNIT = 1 << 12  # elements
U = np.uint64  # unsigned indices spare Numba's wraparound test


def rows(x: Array) -> Array:
    """(N, ...) -> (N, D), also when N is 0."""
    return x.reshape(x.shape[0], x[:1].size if x.size else 0)


def per_unit(x: Array) -> int:
    """How many rows of x (N, D) are a unit."""
    return max(1, UNIT // max(1, x.shape[1]))


def launch(body: Any, x: Array, *arguments: Any) -> None:
    """All rows of x (N, D)."""
    per = per_unit(x)
    body(x.size <= UNIT, -(-x.shape[0] // per), per, x, *arguments)


def affine_coupling(x: Array, s: Array, t: Array, y: Array, log_det: Array) -> None:
    launch(_affine_coupling, rows(x), rows(s), rows(t), rows(y), log_det)


@units
def _affine_coupling(unit, per, x, s, t, y, log_det):
    for n in range(unit * per, min((unit + 1) * per, x.shape[0])):
        xn, sn, tn, yn = x[n], s[n], t[n], y[n]
        for i in range(xn.size):
            yn[i] = xn[i] * exp(sn[i]) + tn[i]
        log_det[n] = total(sn)


def affine_coupling_grad(g_y: Array, g_log_det: Array, x: Array, s: Array, g_x: Array, g_s: Array) -> None:
    launch(_affine_coupling_grad, rows(x), rows(g_y), g_log_det, rows(s), rows(g_x), rows(g_s))


@units
def _affine_coupling_grad(unit, per, x, g_y, g_log_det, s, g_x, g_s):
    for n in range(unit * per, min((unit + 1) * per, x.shape[0])):
        g, xn, sn, gx, gs, d = g_y[n], x[n], s[n], g_x[n], g_s[n], g_log_det[n]
        for i in range(xn.size):
            v = g[i] * exp(sn[i])
            gx[i] = v
            gs[i] = v * xn[i] + d


def affine_coupling_inverse(y: Array, s: Array, t: Array, x: Array, log_det: Array) -> None:
    launch(_affine_coupling_inverse, rows(y), rows(s), rows(t), rows(x), log_det)


@units
def _affine_coupling_inverse(unit, per, y, s, t, x, log_det):
    for n in range(unit * per, min((unit + 1) * per, x.shape[0])):
        xn, sn, tn, yn = x[n], s[n], t[n], y[n]
        for i in range(xn.size):
            xn[i] = (yn[i] - tn[i]) * exp(-sn[i])
        log_det[n] = -total(sn)


def affine_coupling_inverse_grad(
    g_x: Array, g_log_det: Array, x: Array, s: Array, g_y: Array, g_s: Array, g_t: Array
) -> None:
    launch(_affine_coupling_inverse_grad, rows(x), rows(g_x), g_log_det, rows(s), rows(g_y), rows(g_s), rows(g_t))


@units
def _affine_coupling_inverse_grad(unit, per, x, g_x, g_log_det, s, g_y, g_s, g_t):
    for n in range(unit * per, min((unit + 1) * per, x.shape[0])):
        g, xn, sn, gy, gs, gt, d = g_x[n], x[n], s[n], g_y[n], g_s[n], g_t[n], g_log_det[n]
        for i in range(xn.size):
            gy[i] = g[i] * exp(-sn[i])
        for i in range(xn.size):
            gs[i] = -g[i] * xn[i] - d
            gt[i] = -gy[i]


# -- with the network's output, scale and mask ------------------------------------------------------------------------


def factors(scale: Array, mask: Array) -> tuple[Array, Array]:
    """scale * (1 - mask) and 1 - mask, one entry for each of a row's."""
    moved = 1 - mask
    return (scale * moved).reshape(-1), moved.reshape(-1)


@inlined
def parts(h, channels, gain, moved, a, s, t):
    """a = tanh of the first halves of h, s = a * gain, t = second halves * moved.  h (2 n,), a, s, t (n,)."""
    for p in range(a.size // max(channels, 1)):
        i, j = p * channels, 2 * p * channels
        for c in range(channels):
            a[U(i + c)] = h[U(j + c)]
            t[U(i + c)] = h[U(j + channels + c)]
    for i in range(a.size):
        a[i] = tanh(a[i])
    for row in range(0, a.size, max(gain.size, 1)):
        for i in range(gain.size):
            s[U(row + i)] = a[U(row + i)] * gain[i]
        for i in range(gain.size):
            t[U(row + i)] *= moved[i]


@inlined
def through_network(a, g_s, g_t, channels, gain, moved, g_h, by_scale):
    """From the cotangents of s and t (changed) to those of h and, for these rows alone, of scale."""
    sums = np.zeros(gain.size)
    for row in range(0, a.size, max(gain.size, 1)):
        for i in range(gain.size):
            sums[i] += g_s[U(row + i)] * a[U(row + i)] * moved[i]
        for i in range(gain.size):
            g_s[U(row + i)] *= gain[i] * (1 - a[U(row + i)] * a[U(row + i)])
        for i in range(gain.size):
            g_t[U(row + i)] *= moved[i]
    for p in range(a.size // max(channels, 1)):
        i, j = p * channels, 2 * p * channels
        for c in range(channels):
            g_h[U(j + c)] = g_s[U(i + c)]
            g_h[U(j + channels + c)] = g_t[U(i + c)]
    by_scale[:] = 0
    for p in range(gain.size // max(channels, 1)):
        for c in range(channels):
            by_scale[c] += sums[U(p * channels + c)]


def masked_affine_coupling(x: Array, h: Array, scale: Array, mask: Array, y: Array, log_det: Array) -> None:
    launch(_masked, rows(x), h.reshape(-1), scale.size, *factors(scale, mask), y.reshape(-1), log_det)


@units
def _masked(unit, per, x, h, channels, gain, moved, y, log_det):
    first, d = unit * per, x.shape[1]
    part = x[first : first + per].reshape(-1)
    out = y[first * d : first * d + part.size]
    a, s, t = np.empty_like(part), np.empty_like(part), np.empty_like(part)
    parts(h[2 * first * d :][: 2 * part.size], channels, gain, moved, a, s, t)
    for i in range(part.size):
        out[i] = part[i] * exp(s[i]) + t[i]
    for n in range(first, min(first + per, log_det.size)):
        log_det[n] = total(s[(n - first) * d : (n - first + 1) * d])


def masked_affine_coupling_inverse(y: Array, h: Array, scale: Array, mask: Array, x: Array, log_det: Array) -> None:
    launch(_masked_inverse, rows(y), h.reshape(-1), scale.size, *factors(scale, mask), x.reshape(-1), log_det)


@units
def _masked_inverse(unit, per, y, h, channels, gain, moved, x, log_det):
    first, d = unit * per, y.shape[1]
    part = y[first : first + per].reshape(-1)
    out = x[first * d : first * d + part.size]
    a, s, t = np.empty_like(part), np.empty_like(part), np.empty_like(part)
    parts(h[2 * first * d :][: 2 * part.size], channels, gain, moved, a, s, t)
    for i in range(part.size):
        out[i] = (part[i] - t[i]) * exp(-s[i])
    for n in range(first, min(first + per, log_det.size)):
        log_det[n] = -total(s[(n - first) * d : (n - first + 1) * d])


def masked_affine_coupling_grad(
    g_y: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array,
    g_x: Array, g_h: Array, g_scale: Array,
) -> None:  # fmt: skip
    gradient(_masked_grad, g_y, g_log_det, x, h, scale, mask, g_x, g_h, g_scale)


def masked_affine_coupling_inverse_grad(
    g_x: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array,
    g_y: Array, g_h: Array, g_scale: Array,
) -> None:  # fmt: skip
    gradient(_masked_inverse_grad, g_x, g_log_det, x, h, scale, mask, g_y, g_h, g_scale)


def gradient(
    body: Any, g: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array,
    g_to: Array, g_h: Array, g_scale: Array,
) -> None:  # fmt: skip
    """Run a body, then add its units' sums for the scale in order."""
    x = rows(x)
    by_unit = np.empty((-(-len(x) // per_unit(x)), scale.size))
    flat = [a.reshape(-1) for a in (g, h, g_to, g_h)]
    launch(body, x, flat[0], g_log_det, flat[1], *factors(scale, mask), *flat[2:], by_unit)
    g_scale[:] = np.add.reduce(by_unit, axis=0)


@units
def _masked_grad(unit, per, x, g_y, g_log_det, h, gain, moved, g_x, g_h, by_unit):
    channels, first, d = by_unit.shape[1], unit * per, x.shape[1]
    part = x[first : first + per].reshape(-1)
    low, high = first * d, first * d + part.size
    g, to = g_y[low:high], g_x[low:high]
    a, s, t = np.empty_like(part), np.empty_like(part), np.empty_like(part)
    parts(h[2 * low : 2 * high], channels, gain, moved, a, s, t)
    for i in range(part.size):
        to[i] = g[i] * exp(s[i])
    for n in range(part.size // max(d, 1)):
        for i in range(n * d, (n + 1) * d):
            s[U(i)] = to[U(i)] * part[U(i)] + g_log_det[first + n]
    for i in range(part.size):
        t[i] = g[i]
    through_network(a, s, t, channels, gain, moved, g_h[2 * low : 2 * high], by_unit[unit])


@units
def _masked_inverse_grad(unit, per, x, g_x, g_log_det, h, gain, moved, g_y, g_h, by_unit):
    channels, first, d = by_unit.shape[1], unit * per, x.shape[1]
    part = x[first : first + per].reshape(-1)
    low, high = first * d, first * d + part.size
    g, to = g_x[low:high], g_y[low:high]
    a, s, t = np.empty_like(part), np.empty_like(part), np.empty_like(part)
    parts(h[2 * low : 2 * high], channels, gain, moved, a, s, t)
    for i in range(part.size):
        to[i] = g[i] * exp(-s[i])
    for n in range(part.size // max(d, 1)):
        for i in range(n * d, (n + 1) * d):
            s[U(i)] = -g[U(i)] * part[U(i)] - g_log_det[first + n]
    for i in range(part.size):
        t[i] = -to[i]
    through_network(a, s, t, channels, gain, moved, g_h[2 * low : 2 * high], by_unit[unit])
