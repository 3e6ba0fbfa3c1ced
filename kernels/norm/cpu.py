"""Normalisation through Numba.

Arrays are (M, C) with C contiguous; the inner loop runs over C and is vectorised.  Rows are cut into blocks of about
CHUNK elements, a cut that depends on the shape alone; a block's statistics are taken in two passes while it is in the
second-level cache, so memory is read once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._math import dot, total
from .._numba import CHUNK, inlined, jit, pjit, prange

Array = Any


def flat(x: Array) -> Array:
    """(..., C) -> (M, C), also when empty."""
    return x.reshape(x.size // max(1, x.shape[-1]), x.shape[-1])


@inlined
def block_rows(channels):
    return max(1, CHUNK // max(1, channels))


@inlined
def blocks(x):
    per = block_rows(x.shape[1])
    return (x.shape[0] + per - 1) // per


def partials(x: Array) -> tuple[Array, Array]:
    """Two zeroed accumulators with a row for every block of x."""
    per = max(1, CHUNK // max(1, x.shape[1]))
    shape = -(-x.shape[0] // per), x.shape[1]
    return np.zeros(shape), np.zeros(shape)


@jit
def in_order(partial):
    """(blocks, C) -> (C,): the sum over blocks, in order."""
    sums = np.zeros(partial.shape[1])
    for b in range(partial.shape[0]):
        for c in range(sums.size):
            sums[c] += partial[b, c]
    return sums


# -- batch ------------------------------------------------------------------------------------------------------------


@pjit
def block_statistics(x, means, squares):
    """Mean and sum of squared deviations of every block, each (blocks, C) and zero before."""
    per = block_rows(x.shape[1])
    for b in prange(blocks(x)):
        part, mean, square = x[b * per : (b + 1) * per], means[b], squares[b]
        for r in range(part.shape[0]):
            row = part[r]
            for c in range(row.size):
                mean[c] += row[c]
        for c in range(mean.size):
            mean[c] /= part.shape[0]
        for r in range(part.shape[0]):
            row = part[r]
            for c in range(row.size):
                d = row[c] - mean[c]
                square[c] += d * d


@jit
def merge(means, squares, count):
    """Mean and biased variance of all rows, from those of the blocks, in order."""
    mean, square = means[0], squares[0]
    per = block_rows(mean.size)
    for b in range(1, means.shape[0]):
        seen, new = b * per, min(per, count - b * per)
        share, cross = new / (seen + new), seen * new / (seen + new)
        for c in range(mean.size):
            delta = means[b, c] - mean[c]
            mean[c] += delta * share
            square[c] += squares[b, c] + delta * delta * cross
    return mean, square / count


@pjit
def normalise(x, mean, scale, shift, y):
    """y = (x - mean) * scale + shift, column by column."""
    per = block_rows(x.shape[1])
    for b in prange(blocks(x)):
        for r in range(b * per, min(x.shape[0], (b + 1) * per)):
            row, out = x[r], y[r]
            for c in range(row.size):
                out[c] = (row[c] - mean[c]) * scale[c] + shift[c]


def batch_norm(x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float) -> None:
    rows = flat(x)
    means, squares = partials(rows)
    block_statistics(rows, means, squares)
    mean[:], v = merge(means, squares, len(rows))
    var[:] = v
    normalise(rows, mean, (gamma / np.sqrt(v + eps)).astype(x.dtype), beta, flat(y))


def batch_norm_eval(x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float) -> None:
    scale = gamma / np.sqrt(var.astype(np.float64) + eps)
    normalise(flat(x), mean, scale.astype(x.dtype), beta, flat(y))


@pjit
def cotangent_sums(g, x, mean, plain, centred):
    """Sums over the rows of every block of g and of g * (x - mean), added to (blocks, C) each."""
    per = block_rows(x.shape[1])
    for b in prange(blocks(x)):
        p, q = plain[b], centred[b]
        for r in range(b * per, min(x.shape[0], (b + 1) * per)):
            row, by_y = x[r], g[r]
            for c in range(row.size):
                p[c] += by_y[c]
                q[c] += by_y[c] * (row[c] - mean[c])


@pjit
def combine(g, x, mean, by_g, constant, by_x, out):
    """out = by_g * g + constant + by_x * (x - mean), column by column."""
    per = block_rows(x.shape[1])
    for b in prange(blocks(x)):
        for r in range(b * per, min(x.shape[0], (b + 1) * per)):
            gr, xr, o = g[r], x[r], out[r]
            for c in range(o.size):
                o[c] = by_g[c] * gr[c] + constant[c] + by_x[c] * (xr[c] - mean[c])


def batch_norm_grad(
    g_y: Array, g_mean: Array, g_var: Array, x: Array, gamma: Array, mean: Array, var: Array,
    g_x: Array, g_gamma: Array, g_beta: Array, *, eps: float,
) -> None:  # fmt: skip
    g, rows = flat(g_y), flat(x)
    by_block = partials(rows)
    cotangent_sums(g, rows, mean, *by_block)
    plain, centred = in_order(by_block[0]), in_order(by_block[1])
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    g_beta[:], g_gamma[:] = plain, centred * inverse
    scale, count = gamma * inverse, len(rows)
    constant = (g_mean - scale * plain) / count
    by_x = (2.0 * g_var - scale * inverse**2 * centred) / count
    combine(g, rows, mean, *(a.astype(x.dtype) for a in (scale, constant, by_x)), flat(g_x))


def running_statistics(
    running_mean: Array, running_var: Array, mean: Array, var: Array, new_mean: Array, new_var: Array,
    *, momentum: float, rows: int,
) -> None:  # fmt: skip
    new_mean[:] = (1 - momentum) * running_mean + momentum * mean
    new_var[:] = (1 - momentum) * running_var + momentum * rows / (rows - 1) * var


# -- layer ------------------------------------------------------------------------------------------------------------


@inlined
def standardise(x, eps, out):
    """out = (x - mean) / sqrt(var + eps) of one row; returns 1 / sqrt(var + eps)."""
    mean = total(x) / x.size
    for c in range(x.size):
        out[c] = x[c] - mean
    inverse = x.dtype.type(1 / np.sqrt(dot(out, out) / x.size + eps))
    for c in range(x.size):
        out[c] *= inverse
    return inverse


def layer_norm(x: Array, gamma: Array, beta: Array, y: Array, *, eps: float) -> None:
    _layer_norm(flat(x), gamma, beta, flat(y), eps)


@pjit
def _layer_norm(x, gamma, beta, y, eps):
    for r in prange(x.shape[0]):
        out = y[r]
        standardise(x[r], eps, out)
        for c in range(out.size):
            out[c] = out[c] * gamma[c] + beta[c]


def layer_norm_grad(g: Array, x: Array, gamma: Array, g_x: Array, g_gamma: Array, g_beta: Array, *, eps: float) -> None:
    rows = flat(x)
    by_gamma, by_beta = partials(rows)
    _layer_norm_grad(flat(g), rows, gamma, flat(g_x), by_gamma, by_beta, eps)
    g_gamma[:], g_beta[:] = in_order(by_gamma), in_order(by_beta)


@pjit
def _layer_norm_grad(g, x, gamma, g_x, by_gamma, by_beta, eps):
    channels, per = x.shape[1], block_rows(x.shape[1])
    for b in prange(blocks(x)):
        x_hat, d, sum_gamma, sum_beta = np.empty_like(gamma), np.empty_like(gamma), by_gamma[b], by_beta[b]
        for r in range(b * per, min(x.shape[0], (b + 1) * per)):
            by_y, out = g[r], g_x[r]
            inverse = standardise(x[r], eps, x_hat)
            for c in range(channels):
                sum_beta[c] += by_y[c]
                sum_gamma[c] += by_y[c] * x_hat[c]
            for c in range(channels):
                d[c] = by_y[c] * gamma[c]
            mean, slope = x.dtype.type(total(d) / channels), x.dtype.type(dot(d, x_hat) / channels)
            for c in range(channels):
                out[c] = inverse * (d[c] - mean - x_hat[c] * slope)


# -- weight -----------------------------------------------------------------------------------------------------------


@pjit
def block_products(a, b, partial):
    """Sums over the rows of every block of a * b, added to (blocks, C)."""
    per = block_rows(a.shape[1])
    for k in prange(blocks(a)):
        sums = partial[k]
        for r in range(k * per, min(a.shape[0], (k + 1) * per)):
            p, q = a[r], b[r]
            for c in range(p.size):
                sums[c] += np.float64(p[c]) * q[c]


def product_sums(a: Array, b: Array) -> Array:
    """Sum over rows of a * b, float64 (C,)."""
    partial, _ = partials(a)
    block_products(a, b, partial)
    return in_order(partial)


def weight_norm(v: Array, gain: Array, w: Array) -> None:
    rows = flat(v)
    scale = (gain / np.sqrt(product_sums(rows, rows))).astype(v.dtype)
    zero = np.zeros_like(gain)
    normalise(rows, zero, scale, zero, flat(w))


def weight_norm_grad(g: Array, v: Array, gain: Array, g_v: Array, g_gain: Array) -> None:
    rows, by_w = flat(v), flat(g)
    square, projected = product_sums(rows, rows), product_sums(by_w, rows)
    norm = np.sqrt(square)
    g_gain[:] = projected / norm
    scale, zero = gain / norm, np.zeros_like(gain)
    combine(by_w, rows, zero, scale.astype(v.dtype), zero, (-scale * projected / square).astype(v.dtype), flat(g_v))
