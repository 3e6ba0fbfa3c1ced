"""Counter-based randomness: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers, SC 2011).

A key is two uint32 words.  Philox turns (key, 128-bit counter) into a block of four uint32 words; word i of a draw is
word i % 4 of the block whose counter is i // 4, so every device and every number of threads gives the same bits.
The highest word of the counter names its use: 0 for draws, 1 for deriving keys, so that the two can never meet.
A key is used for one draw only; another draw takes another key, derived with `fold_in`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._kernel import Spec, kernel, like

Array = Any


@kernel("y")
def fold_in(key: Array, data: Array) -> Spec:
    """Derive a key: the first two words of the block of counter (data[0], data[1], 0, 1).  All uint32 (2,)."""
    return like(key)


@kernel("y")
def bits(key: Array, *, shape: tuple[int, ...]) -> Spec:
    """Random words: element i (C order) is word i of the draw.  key (2,) -> uint32 of `shape`."""
    return Spec(shape, np.dtype(np.uint32))


@kernel("y")
def uniform(key: Array, *, shape: tuple[int, ...], dtype: np.dtype = np.dtype(np.float32)) -> Spec:
    """Uniform on [0, 1): float32 of the high 24 bits of word i, float64 of 53 bits of words 2i (high) and 2i + 1."""
    return Spec(shape, np.dtype(dtype))


@kernel("y")
def uniforms(key: Array, *, n: int, size: int, dtype: np.dtype = np.dtype(np.float32)) -> Spec:
    """Row i is what `uniform` draws with the key that `fold_in` derives from i.  key (2,) -> dtype (n, size)."""
    return Spec((n, size), np.dtype(dtype))


@kernel("y")
def normal(key: Array, *, shape: tuple[int, ...], dtype: np.dtype = np.dtype(np.float32)) -> Spec:
    """Standard normal, by Box and Muller (1958): elements 2j and 2j + 1 are r cos(2 pi v) and r sin(2 pi v).

    r = sqrt(-2 log u), u in (0, 1] and v in [0, 1).  float32: u from all 32 bits of word 2j, v from the high 24 bits
    of word 2j + 1, so |z| < 6.7.  float64: u and v from 53 bits of words 4j, 4j + 1 and 4j + 2, 4j + 3: |z| < 8.6.
    """
    return Spec(shape, np.dtype(dtype))


@kernel("y")
def bernoulli(p: Array, key: Array) -> Spec:
    """1 where the uniform of this place and dtype is below the probability p, else 0.  p any shape -> the same."""
    return like(p)


@kernel("y")
def categorical(logits: Array, key: Array) -> Spec:
    """A category in proportion to exp(logits), by inverting the distribution function.  (..., K) -> int64 (...).

    Row r uses float64 uniform r, and sums in float64 over k in order.  A category of logit -inf is never drawn.
    """
    return Spec(logits.shape[:-1], np.dtype(np.int64))


@kernel("y")
def permutation(key: Array, *, n: int) -> Spec:
    """The order in which n random words sort, equal words (about n**2 / 2**33 pairs) by index.  key -> int64 (n,)."""
    return Spec((n,), np.dtype(np.int64))


@kernel("z")
def gaussian_sample(mu: Array, log_var: Array, eps: Array) -> Spec:
    """z = mu + exp(log_var / 2) * eps.  Three equal shapes -> the same.  One pass, 16 bytes an element in float32."""
    return like(mu)


@kernel("g_log_var")
def gaussian_sample_grad(g: Array, log_var: Array, eps: Array) -> Spec:
    """Cotangent of log_var: g * eps * exp(log_var / 2) / 2.  Three equal shapes -> the same."""
    return like(g)
