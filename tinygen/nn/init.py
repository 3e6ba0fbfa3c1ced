"""Initialisers by their usual names: `init.xavier_uniform((784, 500), key=key)` returns a float32 array.

Weights are (in, out) for dense layers and (K, K, in, out) for convolutions: fan_in = K*K*in, fan_out = K*K*out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..errors import ArgumentError
from ..random import Key
from ..tensor import Array

GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


def gain(nonlinearity: str, slope: float = 0.01) -> float:
    """The factor that keeps the variance of activations through `nonlinearity` (He et al. 2015; PyTorch's table)."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in GAINS:
        raise ArgumentError(f"gain: unknown nonlinearity {nonlinearity!r}; known: leaky_relu, {', '.join(GAINS)}.")
    return GAINS[nonlinearity]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight."""
    if len(shape) < 2:
        raise ArgumentError(f"init: fans need a weight of at least two axes, got shape {tuple(shape)}.")
    receptive = math.prod(shape[:-2])
    return receptive * shape[-2], receptive * shape[-1]


def zeros(shape: Sequence[int], *, dtype: Any = np.float32, key: Key | None = None) -> Array:
    """All zero."""
    return np.zeros(shape, dtype)


def ones(shape: Sequence[int], *, dtype: Any = np.float32, key: Key | None = None) -> Array:
    """All one."""
    return np.ones(shape, dtype)


def constant(shape: Sequence[int], value: float, *, dtype: Any = np.float32, key: Key | None = None) -> Array:
    """All `value`."""
    return np.full(shape, value, dtype)


def uniform(shape: Sequence[int], *, low: float = 0.0, high: float = 1.0, key: Key, dtype: Any = np.float32) -> Array:
    """Uniform on [low, high)."""
    return (ops.uniform(tuple(shape), key=key, dtype=dtype) * (high - low) + low).data


def normal(shape: Sequence[int], *, mean: float = 0.0, std: float = 1.0, key: Key, dtype: Any = np.float32) -> Array:
    """Normal with a mean and a standard deviation."""
    return (ops.normal(tuple(shape), key=key, dtype=dtype) * std + mean).data


def xavier_uniform(shape: Sequence[int], *, gain: float = 1.0, key: Key, dtype: Any = np.float32) -> Array:
    """Uniform on ±gain*sqrt(6 / (fan_in + fan_out)) (Glorot & Bengio 2010, eq. 16)."""
    bound = gain * math.sqrt(6 / sum(fans(shape)))
    return uniform(shape, low=-bound, high=bound, key=key, dtype=dtype)


def xavier_normal(shape: Sequence[int], *, gain: float = 1.0, key: Key, dtype: Any = np.float32) -> Array:
    """Normal with standard deviation gain*sqrt(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    return normal(shape, std=gain * math.sqrt(2 / sum(fans(shape))), key=key, dtype=dtype)


def kaiming_uniform(
    shape: Sequence[int], *, nonlinearity: str = "relu", slope: float = 0.01, key: Key, dtype: Any = np.float32
) -> Array:
    """Uniform on ±gain*sqrt(3 / fan_in) (He et al. 2015)."""
    bound = gain(nonlinearity, slope) * math.sqrt(3 / fans(shape)[0])
    return uniform(shape, low=-bound, high=bound, key=key, dtype=dtype)


def kaiming_normal(
    shape: Sequence[int], *, nonlinearity: str = "relu", slope: float = 0.01, key: Key, dtype: Any = np.float32
) -> Array:
    """Normal with standard deviation gain / sqrt(fan_in) (He et al. 2015, eq. 10)."""
    return normal(shape, std=gain(nonlinearity, slope) / math.sqrt(fans(shape)[0]), key=key, dtype=dtype)


def fan_in_uniform(shape: Sequence[int], *, fan_in: int, key: Key, dtype: Any = np.float32) -> Array:
    """Uniform on ±1/sqrt(fan_in): what PyTorch gives dense and convolution layers, weights and biases alike."""
    bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
    return uniform(shape, low=-bound, high=bound, key=key, dtype=dtype)


def orthogonal(shape: Sequence[int], *, gain: float = 1.0, key: Key, dtype: Any = np.float32) -> Array:
    """A random (semi-)orthogonal matrix over the last axis, times gain (Saxe et al. 2014)."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    draw = ops.normal((max(rows, columns), min(rows, columns)), key=key, dtype=np.float64).data
    q, r = np.linalg.qr(draw)
    q *= np.sign(np.diag(r))  # else the distribution is not uniform over orthogonal matrices (Mezzadri 2007)
    return np.ascontiguousarray(gain * (q if rows >= columns else q.T).reshape(shape), dtype)
