"""The vectorised exp, log, ... of the kernels against NumPy in extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from tinygen.kernels import _math
from tinygen.kernels._numba import jit

N = 20_000


@jit
def exp(x, y):
    for i in range(x.size):
        y[i] = _math.exp(x[i])


@jit
def log(x, y):
    for i in range(x.size):
        y[i] = _math.log(x[i])


@jit
def softplus_tail(x, y):
    for i in range(x.size):
        y[i] = _math.softplus_tail(x[i])


@jit
def sigmoid(x, y):
    for i in range(x.size):
        y[i] = _math.sigmoid(x[i])


@jit
def circle(u, c, s):
    for i in range(u.size):
        c[i], s[i] = _math.circle(u[i])


@jit
def total(x):
    return _math.total(x)


@jit
def dot(x, y):
    return _math.dot(x, y)


@jit
def highest(x):
    return _math.highest(x)


def run(function, x, outputs=1):
    ys = tuple(np.empty_like(x) for _ in range(outputs))
    function(x, *ys)
    return ys[0] if outputs == 1 else ys


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return request.param


@pytest.mark.parametrize(
    ("function", "low", "high", "exact"),
    [
        (exp, -80, 80, np.exp),
        (log, 1e-30, 1e30, np.log),
        (log, 0.99, 1.01, np.log),
        (softplus_tail, -80, 80, lambda x: np.log1p(np.exp(-np.abs(x)))),
        (sigmoid, -80, 80, lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_relative_error_is_within_three_units(dtype, function, low, high, exact):
    x = np.random.default_rng(0).uniform(low, high, N).astype(dtype)
    expected = exact(x.astype(np.longdouble))
    error = np.abs(run(function, x) - expected) / np.abs(expected)
    assert error.max() < 3 * np.finfo(dtype).eps


def test_exp_covers_its_whole_range(dtype):
    # from below the smallest denormal to past overflow, and no warning on the way
    info = np.finfo(dtype)
    x = np.linspace(np.log(float(info.smallest_subnormal)) - 3, np.log(float(info.max)) + 3, N).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        expected = np.exp(x)
    y = run(exp, x)
    normal = np.isfinite(expected) & (expected >= info.tiny)
    assert np.abs(y[normal] / expected[normal] - 1).max() < 3 * info.eps
    assert np.array_equal(np.isinf(y), np.isinf(expected))
    assert np.abs(y[expected < info.tiny] - expected[expected < info.tiny]).max() <= 2 * info.smallest_subnormal


def test_special_values(dtype):
    x = np.array([np.inf, -np.inf, np.nan, 0, 1000, -1000], dtype)
    assert np.array_equal(run(exp, x), np.array([np.inf, 0, np.nan, 1, np.inf, 0], dtype), equal_nan=True)
    assert np.array_equal(run(sigmoid, x), np.array([1, 0, np.nan, 0.5, 1, 0], dtype), equal_nan=True)
    assert np.isnan(run(softplus_tail, x)[2])


def test_circle(dtype):
    u = np.random.default_rng(1).uniform(-1, 1, N).astype(dtype)
    u[:9] = np.arange(-4, 5) / 4
    cos, sin = run(circle, u, outputs=2)
    angle = 8 * np.arctan(np.longdouble(1)) * u
    assert np.abs(cos - np.cos(angle)).max() < np.finfo(dtype).eps
    assert np.abs(sin - np.sin(angle)).max() < np.finfo(dtype).eps
    assert np.array_equal(cos[:9], [1, 0, -1, 0, 1, 0, -1, 0, 1])


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 1000, 100_003])
def test_row_sums_and_maxima(dtype, n):
    x, y = np.random.default_rng(n).standard_normal((2, n)).astype(dtype)
    bound = 1e-13 * max(1, n) ** 0.5
    assert abs(total(x) - x.astype(np.longdouble).sum()) < bound
    assert abs(dot(x, y) - (x.astype(np.longdouble) * y).sum()) < bound
    if n:
        assert highest(x) == x.max()
