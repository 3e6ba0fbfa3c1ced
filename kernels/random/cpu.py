"""Philox on the CPU: 0.45 ns a word on one core; normals add one log, one square root and one sine-cosine a pair.

The rounds are written in uint64 with the upper half zero: LLVM turns each product into one vector multiplication.
Unsigned indices spare Numba's wraparound test, without which the loop over blocks does not vectorise (3.7 ns a word).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._math import circle, exp, log
from .._numba import CHUNK, chunks, inlined, jit, pjit, prange

Array = Any

U = np.uint64
MULTIPLY0, MULTIPLY1 = U(0xD2511F53), U(0xCD9E8D57)
WEYL0, WEYL1 = U(0x9E3779B9), U(0xBB67AE85)
LOW, HIGH = U(0xFFFFFFFF), U(32)
DRAW, DERIVE = U(0), U(1)  # the highest counter word: what the block is for
SINGLE, DOUBLE = np.float32(2.0**-24), 2.0**-53


@inlined
def philox(c0, c1, c2, c3, k0, k1):
    """One block.  All are uint64 below 2**32."""
    for r in range(10):
        p, q = MULTIPLY0 * c0, MULTIPLY1 * c2
        x0, x1 = (k0 + U(r) * WEYL0) & LOW, (k1 + U(r) * WEYL1) & LOW
        c0, c1, c2, c3 = (q >> HIGH) ^ c1 ^ x0, q & LOW, (p >> HIGH) ^ c3 ^ x1, p & LOW
    return c0, c1, c2, c3


@jit
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


def fold_in(key: Array, data: Array, y: Array) -> None:
    _fold_in(key, data, y)


@jit
def _fold_in(key, data, y):
    y[0], y[1], _, _ = philox(U(data[0]), U(data[1]), U(0), DERIVE, U(key[0]), U(key[1]))


def bits(key: Array, y: Array, *, shape: tuple[int, ...]) -> None:
    _bits(key, y.reshape(-1))


@pjit
def _bits(key, y):
    for c in prange(chunks(y.size)):
        part = y[c * CHUNK : (c + 1) * CHUNK]
        part[:] = words(key, c * CHUNK, part.size)[: part.size]


def uniform(key: Array, y: Array, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
    (_uniform32 if y.dtype == np.float32 else _uniform64)(key, y.reshape(-1))


@pjit
def _uniform32(key, y):
    for c in prange(chunks(y.size)):
        part = y[c * CHUNK : (c + 1) * CHUNK]
        w = words(key, c * CHUNK, part.size)
        for i in range(part.size):
            part[i] = np.float32(w[i] >> 8) * SINGLE


@pjit
def _uniform64(key, y):
    for c in prange(chunks(y.size)):
        part = y[c * CHUNK : (c + 1) * CHUNK]
        w = words(key, 2 * c * CHUNK, 2 * part.size)
        for i in range(part.size):
            part[i] = float53(w[2 * i], w[2 * i + 1]) * DOUBLE


def normal(key: Array, y: Array, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
    (_normal32 if y.dtype == np.float32 else _normal64)(key, y.reshape(-1))


@inlined
def polar(u, v):
    """Two normals of u in (0, 1] and v in [0, 1)."""
    r = np.sqrt(log(u) * type(u)(-2))
    c, s = circle(v)
    return r * c, r * s


@pjit
def _normal32(key, y):
    for c in prange(chunks(y.size)):
        part = y[c * CHUNK : (c + 1) * CHUNK]
        pairs = (part.size + 1) // 2
        w = words(key, c * CHUNK, 2 * pairs)
        z = np.empty(2 * pairs, np.float32)
        for j in range(pairs):
            u = np.float32(U(w[2 * j]) + U(1)) * np.float32(2.0**-32)
            z[2 * j], z[2 * j + 1] = polar(u, np.float32(w[2 * j + 1] >> 8) * SINGLE)
        part[:] = z[: part.size]


@pjit
def _normal64(key, y):
    for c in prange(chunks(y.size)):
        part = y[c * CHUNK : (c + 1) * CHUNK]
        pairs = (part.size + 1) // 2
        w = words(key, 2 * c * CHUNK, 4 * pairs)
        z = np.empty(2 * pairs, np.float64)
        for j in range(pairs):
            u = (float53(w[4 * j], w[4 * j + 1]) + 1.0) * DOUBLE
            z[2 * j], z[2 * j + 1] = polar(u, float53(w[4 * j + 2], w[4 * j + 3]) * DOUBLE)
        part[:] = z[: part.size]


def bernoulli(p: Array, key: Array, y: Array) -> None:
    uniform(key, y, shape=y.shape, dtype=y.dtype)
    _below(y.reshape(-1), p.reshape(-1))


@pjit
def _below(u, p):
    """u becomes 1 where it is below p, else 0."""
    for c in prange(chunks(u.size)):
        a, b = u[c * CHUNK : (c + 1) * CHUNK], p[c * CHUNK : (c + 1) * CHUNK]
        for i in range(a.size):
            a[i] = a[i] < b[i]


def categorical(logits: Array, key: Array, y: Array) -> None:
    _categorical(logits.reshape(y.size, logits.shape[-1]), key, y.reshape(-1))


@pjit
def _categorical(logits, key, y):
    rows = 256  # a unit of work
    categories = logits.shape[1]
    for c in prange((y.size + rows - 1) // rows):
        part = y[c * rows : (c + 1) * rows]
        w = words(key, 2 * c * rows, 2 * part.size)
        weights = np.empty(categories, np.float64)
        for r in range(part.size):
            row = logits[c * rows + r]
            highest = row[0]
            for k in range(categories):
                highest = row[k] if row[k] > highest else highest
            for k in range(categories):
                weights[k] = exp(np.float64(row[k]) - np.float64(highest))
            total = 0.0
            for k in range(categories):
                total += weights[k]
            target = float53(w[2 * r], w[2 * r + 1]) * DOUBLE * total
            below, drawn = 0.0, 0
            for k in range(categories):
                below += weights[k]
                if below > target:  # happens by the last k: target < total, which was summed in the same order
                    drawn = k
                    break
            part[r] = drawn


def permutation(key: Array, y: Array, *, n: int) -> None:
    tickets = y.view(np.uint64)  # word above index: one sort of distinct integers
    _tickets(key, tickets)
    tickets.sort()
    tickets &= LOW


@pjit
def _tickets(key, y):
    for c in prange(chunks(y.size)):
        part = y[c * CHUNK : (c + 1) * CHUNK]
        w = words(key, c * CHUNK, part.size)
        for i in range(part.size):
            part[i] = U(w[i]) << HIGH | U(c * CHUNK + i)


def gaussian_sample(mu: Array, log_var: Array, eps: Array, z: Array) -> None:
    _gaussian_sample(mu.reshape(-1), log_var.reshape(-1), eps.reshape(-1), z.reshape(-1))


@pjit
def _gaussian_sample(mu, log_var, eps, z):
    half = mu.dtype.type(0.5)
    for c in prange(chunks(z.size)):
        a, b = c * CHUNK, (c + 1) * CHUNK
        m, v, e, out = mu[a:b], log_var[a:b], eps[a:b], z[a:b]
        for i in range(out.size):
            out[i] = m[i] + exp(v[i] * half) * e[i]


def gaussian_sample_grad(g: Array, log_var: Array, eps: Array, g_log_var: Array) -> None:
    _gaussian_sample_grad(g.reshape(-1), log_var.reshape(-1), eps.reshape(-1), g_log_var.reshape(-1))


@pjit
def _gaussian_sample_grad(g, log_var, eps, g_log_var):
    half = g.dtype.type(0.5)
    for c in prange(chunks(g.size)):
        a, b = c * CHUNK, (c + 1) * CHUNK
        gz, v, e, out = g[a:b], log_var[a:b], eps[a:b], g_log_var[a:b]
        for i in range(out.size):
            out[i] = gz[i] * e[i] * exp(v[i] * half) * half
