"""Normalisation through Numba.

Arrays are (M, C) with C contiguous; the inner loop runs over C and is vectorised.  Rows are cut into blocks of about
CHUNK elements, a cut that depends on the shape alone; a block's statistics are taken in two passes while it is in the
second-level cache, so memory is read once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._math import dot, total
from .._numba import CHUNK, inlined, jit, part
from .._units import units

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


@units
def block_statistics(unit, x, means, squares):
    """Mean and sum of squared deviations of a block, each (blocks, C) and zero before."""
    per = block_rows(x.shape[1])
    part, mean, square = x[unit * per : (unit + 1) * per], means[unit], squares[unit]
    whole = part.shape[0] // 4 * 4
    for r in range(0, whole, 4):
        r0, r1, r2, r3 = part[r], part[r + 1], part[r + 2], part[r + 3]
        for c in range(mean.size):
            mean[c] += (r0[c] + r1[c]) + (r2[c] + r3[c])
    for r in range(whole, part.shape[0]):
        row = part[r]
        for c in range(mean.size):
            mean[c] += row[c]
    near = np.empty_like(part[0])  # the mean in x's type: its rounding moves the sum of squares by as good as nothing
    for c in range(mean.size):
        mean[c] /= part.shape[0]
        near[c] = mean[c]
    for r in range(0, whole, 4):
        r0, r1, r2, r3 = part[r], part[r + 1], part[r + 2], part[r + 3]
        for c in range(mean.size):
            d0, d1, d2, d3 = r0[c] - near[c], r1[c] - near[c], r2[c] - near[c], r3[c] - near[c]
            square[c] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
    for r in range(whole, part.shape[0]):
        row = part[r]
        for c in range(mean.size):
            d = row[c] - near[c]
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


@units
def normalise(unit, x, mean, scale, shift, slope, y):
    """y = (x - mean) * scale + shift, column by column; times slope where that is not positive, unless slope is 1."""
    per, T = block_rows(x.shape[1]), x.dtype.type
    low = T(slope)
    for r in range(unit * per, min(x.shape[0], (unit + 1) * per)):
        row, out = x[r], y[r]
        for c in range(row.size):
            out[c] = (row[c] - mean[c]) * scale[c] + shift[c]
        if slope != 1:
            for c in range(row.size):
                out[c] = out[c] if out[c] > T(0) else low * out[c]


def each_block(body: Any, x: Array, *arguments: Any) -> None:
    """body(block, x, *arguments) for all blocks of rows of x (M, C)."""
    body(x.size <= CHUNK, -(-x.shape[0] // max(1, CHUNK // max(1, x.shape[1]))), x, *arguments)


def column_scale(gamma: Array, var: Array, eps: float) -> Array:
    """gamma / sqrt(var + eps), rounded once: the forward pass and the gradient must see the same sign of y."""
    return (gamma / np.sqrt(var.astype(np.float64) + eps)).astype(gamma.dtype)


def batch_norm(
    x: Array, gamma: Array, beta: Array, y: Array, mean: Array, var: Array, *, eps: float, slope: float
) -> None:
    rows = flat(x)
    means, squares = partials(rows)
    each_block(block_statistics, rows, means, squares)
    mean[:], var[:] = merge(means, squares, len(rows))
    each_block(normalise, rows, mean, column_scale(gamma, var, eps), beta, slope, flat(y))


def batch_norm_eval(
    x: Array, gamma: Array, beta: Array, mean: Array, var: Array, y: Array, *, eps: float, slope: float
) -> None:
    each_block(normalise, flat(x), mean, column_scale(gamma, var, eps), beta, slope, flat(y))


@part
def gate_block(unit, x, g, mean, scale, shift, slope, out):
    """out = g, times slope where `normalise` gave what is not positive."""
    per, T = block_rows(x.shape[1]), x.dtype.type
    low = T(slope)
    for r in range(unit * per, min(x.shape[0], (unit + 1) * per)):
        by_y, row, o = g[r], x[r], out[r]
        for c in range(o.size):
            o[c] = by_y[c] if (row[c] - mean[c]) * scale[c] + shift[c] > T(0) else low * by_y[c]


@units
def cotangent_sums(unit, x, g, mean, scale, shift, slope, gated, plain, centred):
    """Sums over the rows of a block of g and of g * (x - mean), added to (blocks, C) each.

    Where there is a slope, g is what `gate_block` makes of it: written to `gated`, and in cache for the sums.
    """
    per = block_rows(x.shape[1])
    if slope != 1:
        gate_block(unit, x, g, mean, scale, shift, slope, gated)
        g = gated
    first, last = unit * per, min(x.shape[0], (unit + 1) * per)
    whole = first + (last - first) // 4 * 4
    p, q = plain[unit], centred[unit]
    for r in range(first, whole, 4):
        g0, g1, g2, g3 = g[r], g[r + 1], g[r + 2], g[r + 3]
        x0, x1, x2, x3 = x[r], x[r + 1], x[r + 2], x[r + 3]
        for c in range(p.size):
            p[c] += (g0[c] + g1[c]) + (g2[c] + g3[c])
        for c in range(p.size):
            d0, d1, d2, d3 = x0[c] - mean[c], x1[c] - mean[c], x2[c] - mean[c], x3[c] - mean[c]
            q[c] += (g0[c] * d0 + g1[c] * d1) + (g2[c] * d2 + g3[c] * d3)
    for r in range(whole, last):
        by_y, row = g[r], x[r]
        for c in range(p.size):
            p[c] += by_y[c]
            q[c] += by_y[c] * (row[c] - mean[c])


@units
def combine(unit, x, g, mean, by_g, constant, by_x, out):
    """out = by_g * g + constant + by_x * (x - mean), column by column."""
    per = block_rows(x.shape[1])
    for r in range(unit * per, min(x.shape[0], (unit + 1) * per)):
        gr, xr, o = g[r], x[r], out[r]
        for c in range(o.size):
            o[c] = by_g[c] * gr[c] + constant[c] + by_x[c] * (xr[c] - mean[c])


@units
def combine_in_place(unit, x, mean, by_g, constant, by_x, g):
    """`combine` with out = g: a loop of its own, for LLVM vectorises none whose output may be an input."""
    per = block_rows(x.shape[1])
    for r in range(unit * per, min(x.shape[0], (unit + 1) * per)):
        xr, o = x[r], g[r]
        for c in range(o.size):
            o[c] = by_g[c] * o[c] + constant[c] + by_x[c] * (xr[c] - mean[c])


def batch_norm_grad(
    g_y: Array, g_mean: Array, g_var: Array, x: Array, gamma: Array, beta: Array, mean: Array, var: Array,
    g_x: Array, g_gamma: Array, g_beta: Array, *, eps: float, slope: float,
) -> None:  # fmt: skip
    g, rows, out = flat(g_y), flat(x), flat(g_x)
    by_block = partials(rows)
    each_block(cotangent_sums, rows, g, mean, column_scale(gamma, var, eps), beta, slope, out, *by_block)
    plain, centred = in_order(by_block[0]), in_order(by_block[1])
    inverse = 1 / np.sqrt(var.astype(np.float64) + eps)
    g_beta[:], g_gamma[:] = plain, centred * inverse
    scale, count = gamma * inverse, len(rows)
    constant = (g_mean - scale * plain) / count
    by_x = (2.0 * g_var - scale * inverse**2 * centred) / count
    factors = [a.astype(x.dtype) for a in (scale, constant, by_x)]
    if slope == 1:
        each_block(combine, rows, g, mean, *factors, out)
    else:
        each_block(combine_in_place, rows, mean, *factors, out)


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
    each_block(_layer_norm, flat(x), gamma, beta, flat(y), eps)


@units
def _layer_norm(unit, x, gamma, beta, y, eps):
    per = block_rows(x.shape[1])
    for r in range(unit * per, min(x.shape[0], (unit + 1) * per)):
        out = y[r]
        standardise(x[r], eps, out)
        for c in range(out.size):
            out[c] = out[c] * gamma[c] + beta[c]


def layer_norm_grad(g: Array, x: Array, gamma: Array, g_x: Array, g_gamma: Array, g_beta: Array, *, eps: float) -> None:
    rows = flat(x)
    by_gamma, by_beta = partials(rows)
    each_block(_layer_norm_grad, rows, flat(g), gamma, flat(g_x), by_gamma, by_beta, eps)
    g_gamma[:], g_beta[:] = in_order(by_gamma), in_order(by_beta)


@units
def _layer_norm_grad(unit, x, g, gamma, g_x, by_gamma, by_beta, eps):
    """Sums over the rows of one block run in x's dtype: a block has few rows, and the blocks are summed in float64."""
    per, sum_gamma, sum_beta = block_rows(x.shape[1]), np.zeros_like(gamma), np.zeros_like(gamma)
    x_hat, d = np.empty_like(gamma), np.empty_like(gamma)
    for r in range(unit * per, min(x.shape[0], (unit + 1) * per)):
        by_y, out = g[r], g_x[r]
        inverse = standardise(x[r], eps, x_hat)
        for c in range(out.size):
            sum_beta[c] += by_y[c]
            sum_gamma[c] += by_y[c] * x_hat[c]
            d[c] = by_y[c] * gamma[c]
        mean, slope = x.dtype.type(total(d) / out.size), x.dtype.type(dot(d, x_hat) / out.size)
        for c in range(out.size):
            out[c] = inverse * (d[c] - mean - x_hat[c] * slope)
    for c in range(gamma.size):
        by_gamma[unit, c], by_beta[unit, c] = sum_gamma[c], sum_beta[c]


# -- weight -----------------------------------------------------------------------------------------------------------


@units
def block_products(unit, a, b, partial):
    """Sums over the rows of a block of a * b, added to (blocks, C)."""
    per, sums = block_rows(a.shape[1]), partial[unit]
    for r in range(unit * per, min(a.shape[0], (unit + 1) * per)):
        p, q = a[r], b[r]
        for c in range(p.size):
            sums[c] += np.float64(p[c]) * q[c]


def product_sums(a: Array, b: Array) -> Array:
    """Sum over rows of a * b, float64 (C,)."""
    partial, _ = partials(a)
    each_block(block_products, a, b, partial)
    return in_order(partial)


def weight_norm(v: Array, gain: Array, w: Array) -> None:
    rows = flat(v)
    scale = (gain / np.sqrt(product_sums(rows, rows))).astype(v.dtype)
    zero = np.zeros_like(gain)
    each_block(normalise, rows, zero, scale, zero, 1.0, flat(w))


def weight_norm_grad(g: Array, v: Array, gain: Array, g_v: Array, g_gain: Array) -> None:
    rows, by_w = flat(v), flat(g)
    square, projected = product_sums(rows, rows), product_sums(by_w, rows)
    norm = np.sqrt(square)
    g_gain[:] = projected / norm
    scale, zero = gain / norm, np.zeros_like(gain)
    by_v = (-scale * projected / square).astype(v.dtype)
    each_block(combine, rows, by_w, zero, scale.astype(v.dtype), zero, by_v, flat(g_v))
