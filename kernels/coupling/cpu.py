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
from .._prepared import prepared
from .._units import units
from ._live import live_weights as live_weights
from ._live import live_weights_grad as live_weights_grad

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


@prepared
def affine_coupling(x: Array, s: Array, t: Array, y: Array, log_det: Array) -> None:
    launch(_affine_coupling, rows(x), rows(s), rows(t), rows(y), log_det)


@units
def _affine_coupling(unit, per, x, s, t, y, log_det):
    for n in range(unit * per, min((unit + 1) * per, x.shape[0])):
        xn, sn, tn, yn = x[n], s[n], t[n], y[n]
        for i in range(xn.size):
            yn[i] = xn[i] * exp(sn[i]) + tn[i]
        log_det[n] = total(sn)


@prepared
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


@prepared
def affine_coupling_inverse(y: Array, s: Array, t: Array, x: Array, log_det: Array) -> None:
    launch(_affine_coupling_inverse, rows(y), rows(s), rows(t), rows(x), log_det)


@units
def _affine_coupling_inverse(unit, per, y, s, t, x, log_det):
    for n in range(unit * per, min((unit + 1) * per, x.shape[0])):
        xn, sn, tn, yn = x[n], s[n], t[n], y[n]
        for i in range(xn.size):
            xn[i] = (yn[i] - tn[i]) * exp(-sn[i])
        log_det[n] = -total(sn)


@prepared
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


@inlined
def factors(scale, mask):
    """scale * (1 - mask) and 1 - mask, one entry for each of a row's.  scale (C,), mask (D,), D a multiple of C."""
    gain, moved = np.empty_like(mask), np.empty_like(mask)
    for p in range(mask.size // max(scale.size, 1)):
        for c in range(scale.size):
            moved[U(p * scale.size + c)] = 1 - mask[U(p * scale.size + c)]
            gain[U(p * scale.size + c)] = scale[U(c)] * moved[U(p * scale.size + c)]
    return gain, moved


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


@prepared
def masked_affine_coupling(x: Array, h: Array, scale: Array, mask: Array, y: Array, log_det: Array) -> None:
    launch(_masked, rows(x), h.reshape(-1), scale, mask.reshape(-1), y.reshape(-1), log_det)


@units
def _masked(unit, per, x, h, scale, mask, y, log_det):
    gain, moved = factors(scale, mask)
    first, d = unit * per, x.shape[1]
    part = x[first : first + per].reshape(-1)
    out = y[first * d : first * d + part.size]
    a, s, t = np.empty_like(part), np.empty_like(part), np.empty_like(part)
    parts(h[2 * first * d :][: 2 * part.size], scale.size, gain, moved, a, s, t)
    for i in range(part.size):
        out[i] = part[i] * exp(s[i]) + t[i]
    for n in range(first, min(first + per, log_det.size)):
        log_det[n] = total(s[(n - first) * d : (n - first + 1) * d])


@prepared
def masked_affine_coupling_inverse(y: Array, h: Array, scale: Array, mask: Array, x: Array, log_det: Array) -> None:
    launch(_masked_inverse, rows(y), h.reshape(-1), scale, mask.reshape(-1), x.reshape(-1), log_det)


@units
def _masked_inverse(unit, per, y, h, scale, mask, x, log_det):
    gain, moved = factors(scale, mask)
    first, d = unit * per, y.shape[1]
    part = y[first : first + per].reshape(-1)
    out = x[first * d : first * d + part.size]
    a, s, t = np.empty_like(part), np.empty_like(part), np.empty_like(part)
    parts(h[2 * first * d :][: 2 * part.size], scale.size, gain, moved, a, s, t)
    for i in range(part.size):
        out[i] = (part[i] - t[i]) * exp(-s[i])
    for n in range(first, min(first + per, log_det.size)):
        log_det[n] = -total(s[(n - first) * d : (n - first + 1) * d])


@prepared
def masked_affine_coupling_grad(
    g_y: Array, g_log_det: Array, x: Array, h: Array, scale: Array, mask: Array,
    g_x: Array, g_h: Array, g_scale: Array,
) -> None:  # fmt: skip
    gradient(_masked_grad, g_y, g_log_det, x, h, scale, mask, g_x, g_h, g_scale)


@prepared
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
    launch(body, x, flat[0], g_log_det, flat[1], scale, mask.reshape(-1), *flat[2:], by_unit)
    _add_units(True, 1, by_unit, g_scale)


@units
def _add_units(unit, by_unit, g_scale):
    for c in range(g_scale.size):
        total = 0.0
        for i in range(by_unit.shape[0]):
            total += by_unit[i, c]
        g_scale[c] = total


@units
def _masked_grad(unit, per, x, g_y, g_log_det, h, scale, mask, g_x, g_h, by_unit):
    gain, moved = factors(scale, mask)
    first, d = unit * per, x.shape[1]
    part = x[first : first + per].reshape(-1)
    low, high = first * d, first * d + part.size
    g, to = g_y[low:high], g_x[low:high]
    a, s, t = np.empty_like(part), np.empty_like(part), np.empty_like(part)
    parts(h[2 * low : 2 * high], scale.size, gain, moved, a, s, t)
    for i in range(part.size):
        to[i] = g[i] * exp(s[i])
    for n in range(part.size // max(d, 1)):
        for i in range(n * d, (n + 1) * d):
            s[U(i)] = to[U(i)] * part[U(i)] + g_log_det[first + n]
    for i in range(part.size):
        t[i] = g[i]
    through_network(a, s, t, scale.size, gain, moved, g_h[2 * low : 2 * high], by_unit[unit])


@units
def _masked_inverse_grad(unit, per, x, g_x, g_log_det, h, scale, mask, g_y, g_h, by_unit):
    gain, moved = factors(scale, mask)
    first, d = unit * per, x.shape[1]
    part = x[first : first + per].reshape(-1)
    low, high = first * d, first * d + part.size
    g, to = g_x[low:high], g_y[low:high]
    a, s, t = np.empty_like(part), np.empty_like(part), np.empty_like(part)
    parts(h[2 * low : 2 * high], scale.size, gain, moved, a, s, t)
    for i in range(part.size):
        to[i] = g[i] * exp(-s[i])
    for n in range(part.size // max(d, 1)):
        for i in range(n * d, (n + 1) * d):
            s[U(i)] = -g[U(i)] * part[U(i)] - g_log_det[first + n]
    for i in range(part.size):
        t[i] = -to[i]
    through_network(a, s, t, scale.size, gain, moved, g_h[2 * low : 2 * high], by_unit[unit])
