"""The specification of random draws in NumPy.  Bits and uniforms are exact; normals agree to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any

DRAW, DERIVE = 0, 1  # the highest counter word: what the block is for


def philox(counter: Array, key: Array) -> Array:
    """Philox4x32-10.  counter uint32 (n, 4), key uint32 (2,) -> uint32 (n, 4)."""
    c0, c1, c2, c3 = counter.astype(np.uint64).T
    k0, k1 = int(key[0]), int(key[1])
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        p, q = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)  # 32 x 32 -> 64 bits
        c0, c1, c2, c3 = (q >> high) ^ c1 ^ np.uint64(k0), q & low, (p >> high) ^ c3 ^ np.uint64(k1), p & low
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def words(key: Array, n: int) -> Array:
    """The first n words of a draw."""
    counter = np.zeros((-(-n // 4), 4), np.uint32)
    index = np.arange(len(counter), dtype=np.uint64)
    counter[:, 0], counter[:, 1], counter[:, 3] = index & np.uint64(0xFFFFFFFF), index >> np.uint64(32), DRAW
    return philox(counter, key).reshape(-1)[:n]


def integers53(key: Array, n: int) -> Array:
    """n integers of 53 random bits, as float64: 27 bits of word 2i above 26 bits of word 2i + 1."""
    w = words(key, 2 * n).reshape(n, 2)
    return (w[:, 0] >> 5) * 2.0**26 + (w[:, 1] >> 6)


def fold_in(key: Array, data: Array, y: Array) -> None:
    counter = np.array([[data[0], data[1], 0, DERIVE]], np.uint32)
    y[:] = philox(counter, key)[0, :2]


def bits(key: Array, y: Array, *, shape: tuple[int, ...]) -> None:
    y[...] = words(key, y.size).reshape(shape)


def uniform(key: Array, y: Array, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if dtype == np.float32:
        u = (words(key, y.size) >> 8) * 2.0**-24
    else:
        u = integers53(key, y.size) * 2.0**-53
    y[...] = u.reshape(shape)


def uniforms(key: Array, y: Array, *, n: int, size: int, dtype: np.dtype) -> None:
    derived = np.empty_like(key)
    for i in range(n):
        fold_in(key, np.array([i & 0xFFFFFFFF, i >> 32], np.uint32), derived)
        uniform(derived, y[i], shape=(size,), dtype=dtype)


def normal(key: Array, y: Array, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
    pairs = -(-y.size // 2)
    if dtype == np.float32:
        w = words(key, 2 * pairs).reshape(pairs, 2)
        u, v = (w[:, 0] + 1.0).astype(np.float32) * 2.0**-32, (w[:, 1] >> 8) * 2.0**-24
    else:
        w = integers53(key, 2 * pairs).reshape(pairs, 2)
        u, v = (w[:, 0] + 1.0) * 2.0**-53, w[:, 1] * 2.0**-53
    r = np.sqrt(-2.0 * np.log(u))
    z = np.stack([r * np.cos(2 * np.pi * v), r * np.sin(2 * np.pi * v)], axis=1)
    y[...] = z.reshape(-1)[: y.size].reshape(shape)


def bernoulli(p: Array, key: Array, y: Array) -> None:
    u = np.empty_like(p)
    uniform(key, u, shape=p.shape, dtype=p.dtype)
    y[...] = u < p


def invert(logits: Array, u: Array) -> Array:
    """For each row of logits (n, K) the first category up to which more than a part u (n,) of the probability lies."""
    rows = logits.astype(np.float64)
    weights = np.exp(rows - rows.max(axis=1, keepdims=True))
    below = np.cumsum(weights, axis=1)
    return np.argmax(below > (u * below[:, -1])[:, None], axis=1)


def categorical(logits: Array, key: Array, y: Array) -> None:
    u = integers53(key, y.size) * 2.0**-53
    y[...] = invert(logits.reshape(y.size, logits.shape[-1]), u).reshape(y.shape)


def permutation(key: Array, y: Array, *, n: int) -> None:
    y[:] = np.argsort(words(key, n), kind="stable")


def gaussian_sample(mu: Array, log_var: Array, eps: Array, z: Array) -> None:
    z[...] = mu + np.exp(log_var / 2) * eps


def gaussian_sample_grad(g: Array, log_var: Array, eps: Array, g_log_var: Array) -> None:
    g_log_var[...] = g * eps * np.exp(log_var / 2) / 2
