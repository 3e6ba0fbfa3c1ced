"""The vectorised exp, log, ... of the kernels against NumPy and SciPy in longer precision."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from tinygen.kernels import _math, elementwise
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


def softplus_tail_of(x):
    return np.log1p(np.exp(-np.abs(x)))


def sigmoid_of(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def gelu_of(x):
    return x * special.ndtr(x)


# float32: at most this many units in the last place, over all 2**32 numbers
UNITS = {
    "exp": (np.exp, 0.8), "expm1": (np.expm1, 1.6), "log": (np.log, 0.9), "log1p": (np.log1p, 0.9),
    "tanh": (np.tanh, 1.6), "sigmoid": (sigmoid_of, 2.0), "gelu": (gelu_of, 0.8),
    "softplus": (lambda x: np.maximum(x, 0) + softplus_tail_of(x), 2.0),
    "log_sigmoid": (lambda x: np.minimum(x, 0) - softplus_tail_of(x), 2.0),
    "sin": (np.sin, 1.6), "cos": (np.cos, 1.6),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), 1.6),
}  # fmt: skip


def units_apart(y, exact, dtype):
    """|y - exact| in units in the last place of dtype; 0 where both are the same infinity, or NaN."""
    nearest = exact.astype(dtype)
    unit = np.spacing(np.minimum(np.abs(nearest), np.finfo(dtype).max)).astype(exact.dtype)
    same = (y == nearest) & ~np.isfinite(nearest) | np.isnan(y) & np.isnan(nearest)
    return np.where(same, 0, np.abs(y - exact) / np.where(np.isfinite(unit), unit, 1))


def check_by_strides(name, stride):
    """Every `stride`-th of the 2**32 numbers: every sign, exponent, infinity and NaN, and zeros and denormals."""
    exactly, bound = UNITS[name]
    for start in range(0, 1 << 32, stride << 18):
        bits = np.arange(start, min(1 << 32, start + (stride << 18)), stride, dtype=np.uint64).astype(np.uint32)
        x = bits.view(np.float32)
        with np.errstate(all="ignore"):
            apart = units_apart(getattr(elementwise, name)(x), exactly(x.astype(np.float64)), np.float32)
        assert apart.max() <= bound, (name, x[apart.argmax()], apart.max())


@pytest.mark.parametrize("name", UNITS)
def test_float32_is_within_two_units_everywhere(name):
    check_by_strides(name, 4099)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", UNITS)
def test_float32_is_within_two_units_everywhere_at_length(name):
    check_by_strides(name, 251)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="long double is no longer than double here")
@pytest.mark.parametrize("name", [name for name in UNITS if name != "gelu"])
def test_float64_is_within_two_units(name):
    exactly, _ = UNITS[name]
    generator = np.random.default_rng(0)
    steps = 2.0 ** generator.uniform(-60, 9.5, N) * generator.choice([-1, 1], N)
    x = np.concatenate([steps, generator.uniform(-2, 2, N), 1 + generator.uniform(-1e-3, 1e-3, N)])
    x = np.abs(x) if name == "log" else x[x > -1] if name == "log1p" else x
    with np.errstate(all="ignore"):
        apart = units_apart(getattr(elementwise, name)(x), exactly(x.astype(np.longdouble)), np.float64)
    assert apart.max() <= 2, (name, x[apart.argmax()], apart.max())


@pytest.mark.parametrize("name", UNITS)
def test_special_values(dtype, name):
    exactly, _ = UNITS[name]
    info = np.finfo(dtype)
    x = np.array([0.0, -0.0, info.smallest_subnormal, -info.smallest_subnormal, info.tiny, -info.tiny, 1, -1,
                  info.max, -info.max, np.inf, -np.inf, np.nan], dtype)  # fmt: skip
    with np.errstate(all="ignore"):
        y, expected = getattr(elementwise, name)(x), exactly(x.astype(np.longdouble if name != "gelu" else np.float64))
        assert units_apart(y, expected, dtype).max() <= 2
    zero = expected == 0
    assert np.array_equal(np.signbit(y[zero]), np.signbit(expected[zero])), name


def test_exp_covers_its_whole_range(dtype):
    # from below the smallest denormal to past overflow, and no warning on the way
    info = np.finfo(dtype)
    x = np.linspace(np.log(float(info.smallest_subnormal)) - 3, np.log(float(info.max)) + 3, N).astype(dtype)
    y = run(exp, x)
    with np.errstate(over="ignore", under="ignore"):
        assert units_apart(y, np.exp(x.astype(np.longdouble)), dtype).max() <= 2


def test_kernels_without_a_loop_of_their_own(dtype):
    x = 2.0 ** np.arange(-20, 20).astype(dtype)
    assert np.abs(run(log, x) - np.log(x)).max() <= np.spacing(np.log(x.max()))
    assert run(softplus_tail, np.zeros(1, dtype)) == dtype(np.log(2))
    assert run(sigmoid, np.zeros(1, dtype)) == 0.5


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
        x[n // 2] = np.nan
        assert np.isnan(highest(x))
