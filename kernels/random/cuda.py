"""Launches of words.cu and random.cu: the CPU's bits for words, uniforms and what follows from them; normals, and the
exponentials behind categories, to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.scratch import room
from .._cuda.source import Source
from .._prepared import prepared

Array = Any

WORDS = Source(__file__, "words.cu")
DRAWS = Source(__file__, "random.cu", T=("float32", "float64"))
THREADS = 256


def _grid(n: int) -> tuple[int]:
    return (-(-n // THREADS),)


def _per_block(dtype: np.dtype) -> int:
    """Entries of a Philox block, which is 16 bytes of randomness."""
    return 16 // dtype.itemsize


def _draw(name: str, y: Array, *args: Array) -> None:
    """A kernel whose threads make a Philox block of y's entries each."""
    grid = _grid(-(-y.size // _per_block(y.dtype)))
    launch(DRAWS, f"random_{name}", grid, (THREADS,), (*args, y, np.int64(y.size)), T=y.dtype)


@prepared
def fold_in(key: Array, data: Array, y: Array) -> None:
    launch(WORDS, "random_fold_in", (1,), (1,), (key, data, y))


@prepared
def bits(key: Array, y: Array, *, shape: tuple[int, ...]) -> None:
    launch(WORDS, "random_bits", _grid(-(-y.size // 4)), (THREADS,), (key, y, np.int64(y.size)))


@prepared
def uniform(key: Array, y: Array, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
    _draw("uniform", y, key)


@prepared
def uniforms(key: Array, y: Array, *, n: int, size: int, dtype: np.dtype) -> None:
    grid = _grid(n * -(-size // _per_block(y.dtype)))
    launch(DRAWS, "random_uniforms", grid, (THREADS,), (key, y, np.int64(n), np.int64(size)), T=y.dtype)


@prepared
def normal(key: Array, y: Array, *, shape: tuple[int, ...], dtype: np.dtype) -> None:
    _draw("normal", y, key)


@prepared
def bernoulli(p: Array, key: Array, y: Array) -> None:
    _draw("bernoulli", y, p, key)


@prepared
def categorical(logits: Array, key: Array, y: Array) -> None:
    args = logits, key, y, np.int64(y.size), np.int64(logits.shape[-1])
    launch(DRAWS, "random_categorical", _grid(y.size), (THREADS,), args, T=logits.dtype)


@prepared
def permutation(key: Array, y: Array, *, n: int) -> None:
    words = room(y, n, np.uint32)
    bits(key, words, shape=(n,))
    launch(WORDS, "random_permutation", _grid(n), (THREADS,), (words, y, np.int64(n)))


@prepared
def gaussian_sample(mu: Array, log_var: Array, eps: Array, z: Array) -> None:
    args = mu, log_var, eps, z, np.int64(z.size)
    launch(DRAWS, "random_gaussian_sample", _grid(z.size), (THREADS,), args, T=z.dtype)


@prepared
def gaussian_sample_grad(g: Array, log_var: Array, eps: Array, g_log_var: Array) -> None:
    args = g, log_var, eps, g_log_var, np.int64(g.size)
    launch(DRAWS, "random_gaussian_sample_grad", _grid(g.size), (THREADS,), args, T=g.dtype)
