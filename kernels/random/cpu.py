"""Philox on the CPU: 0.45 ns a word on one core; normals add one log, one square root and one sine-cosine a pair.

The rounds are written in uint64 with the upper half zero: LLVM turns each product into one vector multiplication.
Unsigned indices spare Numba's wraparound test, without which the loop over blocks does not vectorise (3.7 ns a word).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._math import circle, exp, log
from .._numba import CHUNK, inlined, jit, part
from .._prepared import prepared
from .._units import chunked, units

Array = Any

U = np.uint64
MULTIPLY0, MULTIPLY1 = U(0xD2511F53), U(0xCD9E8D57)
WEYL0, WEYL1 = U(0x9E3779B9), U(0xBB67AE85)
LOW, HIGH = U(0xFFFFFFFF), U(32)
DRAW, DERIVE = U(0), U(1)  # the highest counter word: what the block is for
ROWS = 256  # of a unit of categorical draws
SINGLE, DOUBLE = np.float32(2.0**-24), 2.0**-53


@inlined
def philox(c0, c1, c2, c3, k0, k1):
    """One block.  All are uint64 below 2**32."""
    for r in range(10):
        p, q = MULTIPLY0 * c0, MULTIPLY1 * c2
        x0, x1 = (k0 + U(r) * WEYL0) & LOW, (k1 + U(r) * WEYL1) & LOW
        c0, c1, c2, c3 = (q >> HIGH) ^ c1 ^ x0, q & LOW, (p >> HIGH) ^ c3 ^ x1, p & LOW
    return c0, c1, c2, c3


@part
def words(key, first, n):
    """The words first, ..., first + n - 1 of a draw (up to three more follow); first is a multiple of 4."""
    k0, k1, block = U(key[0]), U(key[1]), U(first // 4)
    blocks = (n + 3) // 4
    out = np.empty(4 * blocks, np.uint32)
    for j in range(blocks):
        counter, at = block + U(j), U(4) * U(j)
        w0, w1, w2, w3 = philox(counter & LOW, counter >> HIGH, U(0), DRAW, k0, k1)
        out[at], out[at + U(1)], out[at + U(2)], out[at + U(3)] = w0, w1, w2, w3
    return out


@inlined
def float53(high, low):
    """53 random bits as a float64: 27 of one word above 26 of the next."""
    return np.float64((U(high) >> U(5)) << U(26) | U(low) >> U(6))


@prepared
def fold_in(key: Array, data: Array, y: Array) -> None:
    _derive(True, 1, key, data, y)


@units
def _derive(unit, key, data, y):
    _fold_in(key, data, y)


@jit
def _fold_in(key, data, y):
    y[0], y[1], _, _ = philox(U(data[0]), U(data[1]), U(0), DERIVE, U(key[0]), U(key[1]))


@prepared
def bits(key: Array, y: Array, *, shape: tuple[int, ...]) -> None:
    _bits(y.size, key, y.reshape(-1))


@chunked
def _bits(unit, key, y):
    part = y[unit * CHUNK : (unit + 1) * CHUNK]
    w = words(key, unit * CHUNK, part.size)
    for i in range(part.size):  # here and below: to assign a slice, Numba compiles three seconds of error messages
        part[i] = w[i]


@prepared
def uniform(key: Array, y: Array, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
    (_uniform32 if y.dtype == np.float32 else _uniform64)(y.size, key, y.reshape(-1))


@inlined
def singles(key, first, y):
    """Entries first, first + 1, ... of a float32 draw; first is a multiple of 4."""
    w = words(key, first, y.size)
    for i in range(y.size):
        y[i] = np.float32(w[i] >> 8) * SINGLE


@inlined
def doubles(key, first, y):
    """Entries first, first + 1, ... of a float64 draw; first is a multiple of 2."""
    w = words(key, 2 * first, 2 * y.size)
    for i in range(y.size):
        y[i] = float53(w[2 * i], w[2 * i + 1]) * DOUBLE


@chunked
def _uniform32(unit, key, y):
    singles(key, unit * CHUNK, y[unit * CHUNK : (unit + 1) * CHUNK])


@chunked
def _uniform64(unit, key, y):
    doubles(key, unit * CHUNK, y[unit * CHUNK : (unit + 1) * CHUNK])


@prepared
def uniforms(key: Array, y: Array, *, n: int, size: int, dtype: np.dtype) -> None:
    (_uniforms32 if y.dtype == np.float32 else _uniforms64)(y.size <= CHUNK, n, key, y)


@units
def _uniforms32(row, key, y):
    derived = np.empty(2, np.uint32)
    _fold_in(key, (U(row) & LOW, U(row) >> HIGH), derived)
    singles(derived, 0, y[row])


@units
def _uniforms64(row, key, y):
    derived = np.empty(2, np.uint32)
    _fold_in(key, (U(row) & LOW, U(row) >> HIGH), derived)
    doubles(derived, 0, y[row])


@prepared
def normal(key: Array, y: Array, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
    (_normal32 if y.dtype == np.float32 else _normal64)(y.size, key, y.reshape(-1))


@inlined
def polar(u, v):
    """Two normals of u in (0, 1] and v in [0, 1)."""
    r = np.sqrt(log(u) * type(u)(-2))
    c, s = circle(v)
    return r * c, r * s


@chunked
def _normal32(unit, key, y):
    part = y[unit * CHUNK : (unit + 1) * CHUNK]
    pairs = (part.size + 1) // 2
    w = words(key, unit * CHUNK, 2 * pairs)
    z = np.empty(2 * pairs, np.float32)
    for j in range(pairs):
        u = np.float32(U(w[2 * j]) + U(1)) * np.float32(2.0**-32)
        z[2 * j], z[2 * j + 1] = polar(u, np.float32(w[2 * j + 1] >> 8) * SINGLE)
    for i in range(part.size):
        part[i] = z[i]


@chunked
def _normal64(unit, key, y):
    part = y[unit * CHUNK : (unit + 1) * CHUNK]
    pairs = (part.size + 1) // 2
    w = words(key, 2 * unit * CHUNK, 4 * pairs)
    z = np.empty(2 * pairs, np.float64)
    for j in range(pairs):
        u = (float53(w[4 * j], w[4 * j + 1]) + 1.0) * DOUBLE
        z[2 * j], z[2 * j + 1] = polar(u, float53(w[4 * j + 2], w[4 * j + 3]) * DOUBLE)
    for i in range(part.size):
        part[i] = z[i]


@prepared
def bernoulli(p: Array, key: Array, y: Array) -> None:
    uniform(key, y, shape=y.shape, dtype=y.dtype)
    _below(y.size, y.reshape(-1), p.reshape(-1))


@chunked
def _below(unit, u, p):
    """u becomes 1 where it is below p, else 0."""
    a, b = u[unit * CHUNK : (unit + 1) * CHUNK], p[unit * CHUNK : (unit + 1) * CHUNK]
    for i in range(a.size):
        a[i] = a[i] < b[i]


@inlined
def category(row, u, weights):
    """The first category up to which more than a part u of the probability lies; weights: room for as many float64."""
    highest = row[0]
    for k in range(row.size):
        highest = row[k] if row[k] > highest else highest
    for k in range(row.size):
        weights[k] = exp(np.float64(row[k]) - np.float64(highest))
    total = 0.0
    for k in range(row.size):
        total += weights[k]
    target, below = u * total, 0.0
    for k in range(row.size):
        below += weights[k]
        if below > target:  # happens by the last k: target < total, which was summed in the same order
            return k
    return 0


@prepared
def categorical(logits: Array, key: Array, y: Array) -> None:
    serial, count = logits.size <= CHUNK, -(-y.size // ROWS)
    _categorical(serial, count, logits.reshape(y.size, logits.shape[-1]), key, y.reshape(-1))


@units
def _categorical(unit, logits, key, y):
    part = y[unit * ROWS : (unit + 1) * ROWS]
    w = words(key, 2 * unit * ROWS, 2 * part.size)
    weights = np.empty(logits.shape[1], np.float64)
    for r in range(part.size):
        part[r] = category(logits[unit * ROWS + r], float53(w[2 * r], w[2 * r + 1]) * DOUBLE, weights)


def permutation(key: Array, y: Array, *, n: int) -> None:
    tickets = y.view(np.uint64)  # word above index: one sort of distinct integers
    _tickets(tickets.size, key, tickets)
    tickets.sort()
    tickets &= LOW


@chunked
def _tickets(unit, key, y):
    part = y[unit * CHUNK : (unit + 1) * CHUNK]
    w = words(key, unit * CHUNK, part.size)
    for i in range(part.size):
        part[i] = U(w[i]) << HIGH | U(unit * CHUNK + i)


@prepared
def gaussian_sample(mu: Array, log_var: Array, eps: Array, z: Array) -> None:
    _gaussian_sample(z.size, mu.reshape(-1), log_var.reshape(-1), eps.reshape(-1), z.reshape(-1))


@chunked
def _gaussian_sample(unit, mu, log_var, eps, z):
    half = mu.dtype.type(0.5)
    a, b = unit * CHUNK, (unit + 1) * CHUNK
    m, v, e, out = mu[a:b], log_var[a:b], eps[a:b], z[a:b]
    for i in range(out.size):
        out[i] = m[i] + exp(v[i] * half) * e[i]


@prepared
def gaussian_sample_grad(g: Array, log_var: Array, eps: Array, g_log_var: Array) -> None:
    _gaussian_sample_grad(g.size, g.reshape(-1), log_var.reshape(-1), eps.reshape(-1), g_log_var.reshape(-1))


@chunked
def _gaussian_sample_grad(unit, g, log_var, eps, g_log_var):
    half = g.dtype.type(0.5)
    a, b = unit * CHUNK, (unit + 1) * CHUNK
    gz, v, e, out = g[a:b], log_var[a:b], eps[a:b], g_log_var[a:b]
    for i in range(out.size):
        out[i] = gz[i] * e[i] * exp(v[i] * half) * half
