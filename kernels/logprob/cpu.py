"""Log-probabilities through Numba.

The batch is split into units of whole rows, about UNIT elements each.  A unit computes the terms of its rows in one
vectorised loop into a buffer that stays in the first-level cache, then sums each row in fixed lanes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._math import exp, highest, log, sigmoid, softplus_tail, total
from .._numba import inlined, jit, pjit, prange

Array = Any

UNIT = 1 << 12
LOG_2PI = math.log(2 * math.pi)


@inlined
def rows_per_unit(length):
    return max(1, UNIT // max(1, length))


@inlined
def units(rows, length):
    per = rows_per_unit(length)
    return (rows + per - 1) // per


@jit
def sum_rows(terms, y):
    """y[r] = sum of row r, terms holding y.size rows one after the other."""
    length = terms.size // max(1, y.size)
    for r in range(y.size):
        y[r] = total(terms[r * length : (r + 1) * length])


@jit
def spread(g, length):
    """Every entry of g repeated `length` times."""
    out = np.empty(g.size * length, g.dtype)
    for r in range(g.size):
        out[r * length : (r + 1) * length] = g[r]
    return out


def event_size(x: Array, batch: Array) -> int:
    """Elements of x per entry of the batch."""
    return x.size // max(1, batch.size)


def bernoulli_log_prob(x: Array, logits: Array, y: Array, *, event_ndim: int) -> None:
    _bernoulli(x.reshape(-1), logits.reshape(-1), y.reshape(-1), event_size(x, y))


@pjit
def _bernoulli(x, logits, y, length):
    per = rows_per_unit(length)
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    for u in prange(units(y.size, length)):
        out = y[u * per : (u + 1) * per]
        a, b = u * per * length, (u * per + out.size) * length
        p, v = x[a:b], logits[a:b]
        terms = np.empty(b - a, v.dtype)
        for i in range(terms.size):
            # x * l - max(l, 0) - log(1 + e**-|l|), the first two joined so that nothing cancels for x = 1, l large
            terms[i] = v[i] * (p[i] - (one if v[i] > zero else zero)) - softplus_tail(v[i])
        sum_rows(terms, out)


def bernoulli_log_prob_grad(g: Array, x: Array, logits: Array, g_logits: Array, *, event_ndim: int) -> None:
    _bernoulli_grad(g.reshape(-1), x.reshape(-1), logits.reshape(-1), g_logits.reshape(-1), event_size(x, g))


@pjit
def _bernoulli_grad(g, x, logits, g_logits, length):
    per = rows_per_unit(length)
    for u in prange(units(g.size, length)):
        weights = spread(g[u * per : (u + 1) * per], length)
        a, b = u * per * length, u * per * length + weights.size
        p, v, out = x[a:b], logits[a:b], g_logits[a:b]
        for i in range(out.size):
            out[i] = weights[i] * (p[i] - sigmoid(v[i]))


def categorical_log_prob(labels: Array, logits: Array, y: Array, *, event_ndim: int) -> None:
    sites = logits.reshape(labels.size, logits.shape[-1])
    _categorical(labels.reshape(-1), sites, y.reshape(-1), event_size(labels, y))


@pjit
def _categorical(labels, logits, y, length):
    categories = logits.shape[1]
    per = rows_per_unit(length * categories)
    for u in prange(units(y.size, length * categories)):
        out = y[u * per : (u + 1) * per]
        first = u * per * length
        terms = np.empty(out.size * length, logits.dtype)
        weights = np.empty(categories, logits.dtype)
        for i in range(terms.size):
            v = logits[first + i]
            top = highest(v)
            for k in range(categories):
                weights[k] = exp(v[k] - top)
            terms[i] = v[labels[first + i]] - top - log(total(weights))  # the total is at least 1
        sum_rows(terms, out)


def categorical_log_prob_grad(g: Array, labels: Array, logits: Array, g_logits: Array, *, event_ndim: int) -> None:
    shape = labels.size, logits.shape[-1]
    _categorical_grad(
        g.reshape(-1), labels.reshape(-1), logits.reshape(shape), g_logits.reshape(shape), event_size(labels, g)
    )


@pjit
def _categorical_grad(g, labels, logits, g_logits, length):
    categories = logits.shape[1]
    per = rows_per_unit(length * categories)
    for u in prange(units(g.size, length * categories)):
        weights = spread(g[u * per : (u + 1) * per], length)
        first = u * per * length
        e = np.empty(categories, logits.dtype)
        for i in range(weights.size):
            v, out = logits[first + i], g_logits[first + i]
            top = highest(v)
            for k in range(categories):
                e[k] = exp(v[k] - top)
            scale = -weights[i] / e.dtype.type(total(e))
            for k in range(categories):
                out[k] = e[k] * scale
            out[labels[first + i]] += weights[i]


def gaussian_log_prob(x: Array, mu: Array, log_var: Array, y: Array, *, event_ndim: int) -> None:
    _gaussian(x.reshape(-1), mu.reshape(-1), log_var.reshape(-1), y.reshape(-1), event_size(x, y))


@pjit
def _gaussian(x, mu, log_var, y, length):
    per = rows_per_unit(length)
    half, constant = x.dtype.type(-0.5), x.dtype.type(LOG_2PI)
    for u in prange(units(y.size, length)):
        out = y[u * per : (u + 1) * per]
        a, b = u * per * length, (u * per + out.size) * length
        xs, m, v = x[a:b], mu[a:b], log_var[a:b]
        terms = np.empty(b - a, x.dtype)
        for i in range(terms.size):
            d = xs[i] - m[i]
            terms[i] = half * (constant + v[i] + d * d * exp(-v[i]))
        sum_rows(terms, out)


def gaussian_log_prob_grad(
    g: Array, x: Array, mu: Array, log_var: Array, g_mu: Array, g_log_var: Array, *, event_ndim: int
) -> None:
    flat = [a.reshape(-1) for a in (g, x, mu, log_var, g_mu, g_log_var)]
    _gaussian_grad(*flat, event_size(x, g))


@pjit
def _gaussian_grad(g, x, mu, log_var, g_mu, g_log_var, length):
    per = rows_per_unit(length)
    half, one = x.dtype.type(0.5), x.dtype.type(1)
    for u in prange(units(g.size, length)):
        weights = spread(g[u * per : (u + 1) * per], length)
        a, b = u * per * length, u * per * length + weights.size
        xs, m, v, gm, gv = x[a:b], mu[a:b], log_var[a:b], g_mu[a:b], g_log_var[a:b]
        for i in range(gm.size):
            gm[i] = (xs[i] - m[i]) * exp(-v[i])
        for i in range(gm.size):
            gv[i] = weights[i] * half * (gm[i] * (xs[i] - m[i]) - one)
            gm[i] *= weights[i]


def gaussian_kl(mu: Array, log_var: Array, y: Array, *, event_ndim: int) -> None:
    _kl(mu.reshape(-1), log_var.reshape(-1), y.reshape(-1), event_size(mu, y))


@pjit
def _kl(mu, log_var, y, length):
    per = rows_per_unit(length)
    half, one = mu.dtype.type(0.5), mu.dtype.type(1)
    for u in prange(units(y.size, length)):
        out = y[u * per : (u + 1) * per]
        a, b = u * per * length, (u * per + out.size) * length
        m, v = mu[a:b], log_var[a:b]
        terms = np.empty(b - a, mu.dtype)
        for i in range(terms.size):
            terms[i] = half * (exp(v[i]) - one - v[i] + m[i] * m[i])
        sum_rows(terms, out)


def gaussian_kl_grad(g: Array, mu: Array, log_var: Array, g_mu: Array, g_log_var: Array, *, event_ndim: int) -> None:
    flat = [a.reshape(-1) for a in (g, mu, log_var, g_mu, g_log_var)]
    _kl_grad(*flat, event_size(mu, g))


@pjit
def _kl_grad(g, mu, log_var, g_mu, g_log_var, length):
    per = rows_per_unit(length)
    half, one = mu.dtype.type(0.5), mu.dtype.type(1)
    for u in prange(units(g.size, length)):
        weights = spread(g[u * per : (u + 1) * per], length)
        a, b = u * per * length, u * per * length + weights.size
        m, v, gm, gv = mu[a:b], log_var[a:b], g_mu[a:b], g_log_var[a:b]
        for i in range(gm.size):
            gm[i] = weights[i] * m[i]
            gv[i] = weights[i] * half * (exp(v[i]) - one)
