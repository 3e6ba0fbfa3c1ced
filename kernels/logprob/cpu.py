"""Log-probabilities through Numba.

The batch is split into units of whole rows, about UNIT elements each.  A unit computes the terms of its rows in one
vectorised loop into a buffer that stays in the first-level cache, then sums each row in fixed lanes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._math import exp, highest, log, sigmoid, softplus_tail, total
from .._numba import CHUNK, inlined, part
from .._prepared import prepared
from .._units import units

Array = Any

UNIT = 1 << 12
FEW = 16  # terms that are summed one after the other
LOG_2PI = math.log(2 * math.pi)
U = np.uint64  # unsigned indices spare Numba's wraparound test


def launch(body: Any, batch: Array, length: int, *arguments: Any) -> None:
    """body(unit, per, ...) for all units of `per` entries of the batch, with `length` elements of work each."""
    per = max(1, UNIT // max(1, length))
    body(batch.size * length <= CHUNK, -(-batch.size // per), per, *arguments)


def event_size(x: Array, batch: Array) -> int:
    """Elements of x per entry of the batch."""
    return x.size // max(1, batch.size)


@part
def sum_rows(terms, y):
    """y[r] = sum of row r, terms holding y.size rows one after the other."""
    length = terms.size // max(1, y.size)
    for r in range(y.size):
        y[r] = total(terms[r * length : (r + 1) * length])


@part
def spread(g, length):
    """Every entry of g repeated `length` times."""
    out = np.empty(g.size * length, g.dtype)
    for r in range(g.size):
        out[r * length : (r + 1) * length] = g[r]
    return out


@prepared
def bernoulli_log_prob(x: Array, logits: Array, y: Array, *, event_ndim: int) -> None:
    length = event_size(x, y)
    launch(_bernoulli, y, length, x.reshape(-1), logits.reshape(-1), y.reshape(-1), length)


@units
def _bernoulli(unit, per, x, logits, y, length):
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    out = y[unit * per : (unit + 1) * per]
    a, b = unit * per * length, (unit * per + out.size) * length
    p, v = x[a:b], logits[a:b]
    terms = np.empty(b - a, v.dtype)
    for i in range(terms.size):
        # x * l - max(l, 0) - log(1 + e**-|l|), the first two joined so that nothing cancels for x = 1, l large
        terms[i] = v[i] * (p[i] - (one if v[i] > zero else zero)) - softplus_tail(v[i])
    sum_rows(terms, out)


@prepared
def bernoulli_log_prob_grad(g: Array, x: Array, logits: Array, g_logits: Array, *, event_ndim: int) -> None:
    length = event_size(x, g)
    flat = [a.reshape(-1) for a in (g, x, logits, g_logits)]
    launch(_bernoulli_grad, g, length, *flat, length)


@units
def _bernoulli_grad(unit, per, g, x, logits, g_logits, length):
    weights = spread(g[unit * per : (unit + 1) * per], length)
    a, b = unit * per * length, unit * per * length + weights.size
    p, v, out = x[a:b], logits[a:b], g_logits[a:b]
    for i in range(out.size):
        out[i] = weights[i] * (p[i] - sigmoid(v[i]))


@inlined
def folded(terms):
    """The sum of a 1-D array that has an entry, by adding halves onto halves: pairwise, and vectorised.  Changes it."""
    n = terms.size
    while n > FEW:
        half = n // 2
        low, high = terms[:half], terms[n - half : n]
        for k in range(half):
            low[k] += high[k]
        n -= half
    rest = terms[0]
    for k in range(1, n):
        rest += terms[U(k)]
    return rest


@prepared
def categorical_head(labels: Array, logits: Array, y: Array, lse: Array, *, event_ndim: int) -> None:
    sites, length = logits.reshape(labels.size, logits.shape[-1]), event_size(labels, y)
    flat = labels.reshape(-1), sites, y.reshape(-1), lse.reshape(-1)
    launch(_categorical, y, length * sites.shape[1], *flat, length)


@units
def _categorical(unit, per, labels, logits, y, lse, length):
    out = y[unit * per : (unit + 1) * per]
    first = unit * per * length
    terms = np.empty(out.size * length, logits.dtype)
    weights = np.empty(logits.shape[1], logits.dtype)
    for i in range(terms.size):
        v = logits[first + i]
        top = highest(v)
        for k in range(weights.size):
            weights[k] = exp(v[k] - top)
        normaliser = log(folded(weights))  # the sum is at least 1
        lse[first + i] = top + normaliser
        terms[i] = v[labels[first + i]] - top - normaliser
    sum_rows(terms, out)


@prepared
def categorical_head_grad(
    g_y: Array, g_lse: Array, labels: Array, logits: Array, lse: Array, g_logits: Array, *, event_ndim: int
) -> None:
    shape, length = (labels.size, logits.shape[-1]), event_size(labels, g_y)
    flat = [a.reshape(-1) for a in (g_y, g_lse, labels, lse)]
    launch(_categorical_grad, g_y, length * shape[1], *flat, logits.reshape(shape), g_logits.reshape(shape), length)


@units
def _categorical_grad(unit, per, g_y, g_lse, labels, lse, logits, g_logits, length):
    for i in range(unit * per * length, min((unit + 1) * per, g_y.size) * length):
        v, out, by_y = logits[i], g_logits[i], g_y[i // length]
        scale, shift = g_lse[i] - by_y, lse[i]
        for k in range(out.size):
            out[k] = scale * exp(v[k] - shift)
        out[labels[i]] += by_y


@prepared
def gaussian_log_prob(x: Array, mu: Array, log_var: Array, y: Array, *, event_ndim: int) -> None:
    length = event_size(x, y)
    launch(_gaussian, y, length, *[a.reshape(-1) for a in (x, mu, log_var, y)], length)


@units
def _gaussian(unit, per, x, mu, log_var, y, length):
    half, constant = x.dtype.type(-0.5), x.dtype.type(LOG_2PI)
    out = y[unit * per : (unit + 1) * per]
    a, b = unit * per * length, (unit * per + out.size) * length
    xs, m, v = x[a:b], mu[a:b], log_var[a:b]
    terms = np.empty(b - a, x.dtype)
    for i in range(terms.size):
        d = xs[i] - m[i]
        terms[i] = half * (constant + v[i] + d * d * exp(-v[i]))
    sum_rows(terms, out)


@prepared
def gaussian_log_prob_grad(
    g: Array, x: Array, mu: Array, log_var: Array, g_mu: Array, g_log_var: Array, *, event_ndim: int
) -> None:
    length = event_size(x, g)
    launch(_gaussian_grad, g, length, *[a.reshape(-1) for a in (g, x, mu, log_var, g_mu, g_log_var)], length)


@units
def _gaussian_grad(unit, per, g, x, mu, log_var, g_mu, g_log_var, length):
    half, one = x.dtype.type(0.5), x.dtype.type(1)
    weights = spread(g[unit * per : (unit + 1) * per], length)
    a, b = unit * per * length, unit * per * length + weights.size
    xs, m, v, gm, gv = x[a:b], mu[a:b], log_var[a:b], g_mu[a:b], g_log_var[a:b]
    for i in range(gm.size):
        gm[i] = (xs[i] - m[i]) * exp(-v[i])
    for i in range(gm.size):
        gv[i] = weights[i] * half * (gm[i] * (xs[i] - m[i]) - one)
        gm[i] *= weights[i]


@prepared
def gaussian_kl(mu: Array, log_var: Array, y: Array, *, event_ndim: int) -> None:
    length = event_size(mu, y)
    launch(_kl, y, length, mu.reshape(-1), log_var.reshape(-1), y.reshape(-1), length)


@units
def _kl(unit, per, mu, log_var, y, length):
    half, one = mu.dtype.type(0.5), mu.dtype.type(1)
    out = y[unit * per : (unit + 1) * per]
    a, b = unit * per * length, (unit * per + out.size) * length
    m, v = mu[a:b], log_var[a:b]
    terms = np.empty(b - a, mu.dtype)
    for i in range(terms.size):
        terms[i] = half * (exp(v[i]) - one - v[i] + m[i] * m[i])
    sum_rows(terms, out)


@prepared
def gaussian_kl_grad(g: Array, mu: Array, log_var: Array, g_mu: Array, g_log_var: Array, *, event_ndim: int) -> None:
    length = event_size(mu, g)
    launch(_kl_grad, g, length, *[a.reshape(-1) for a in (g, mu, log_var, g_mu, g_log_var)], length)


@units
def _kl_grad(unit, per, g, mu, log_var, g_mu, g_log_var, length):
    half, one = mu.dtype.type(0.5), mu.dtype.type(1)
    weights = spread(g[unit * per : (unit + 1) * per], length)
    a, b = unit * per * length, unit * per * length + weights.size
    m, v, gm, gv = mu[a:b], log_var[a:b], g_mu[a:b], g_log_var[a:b]
    for i in range(gm.size):
        gm[i] = weights[i] * m[i]
        gv[i] = weights[i] * half * (exp(v[i]) - one)
