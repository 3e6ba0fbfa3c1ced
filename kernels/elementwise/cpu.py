"""The scalar formulas; `_loops` turns each into a compiled loop.

`T(c)` is a constant of the entry's type: with a plain Python float, float32 arithmetic would be done in float64.
Conditions are selections, not branches, so that loops vectorise, and are written so that a NaN stays a NaN.
"""

from __future__ import annotations

import math

import numpy as np

from .. import _angle, _math
from ._loops import binary, mended, ternary, unary

LN2 = math.log(2)

# -- arithmetic -------------------------------------------------------------------------------------------------------


@binary
def add(a, b):
    return a + b


@binary
def sub(a, b):
    return a - b


@binary
def mul(a, b):
    return a * b


@binary
def div(a, b):
    return a / b


@unary
def neg(x):
    return -x


@unary
def abs(x):
    return math.fabs(x)


@unary
def sign(x):
    T = type(x)
    return T(1) if x > T(0) else (T(-1) if x < T(0) else x)


@unary
def floor(x):
    return np.floor(x)


@binary
def maximum(a, b):
    return a if a >= b or a != a else b


@binary
def minimum(a, b):
    return a if a <= b or a != a else b


@unary
def clip(x, low, high):
    T = type(x)
    x = T(low) if x < T(low) else x
    return T(high) if x > T(high) else x


@ternary
def where(cond, a, b):
    return a if cond else b


# -- comparisons ------------------------------------------------------------------------------------------------------


@binary
def equal(a, b):
    return a == b


@binary
def not_equal(a, b):
    return a != b


@binary
def less(a, b):
    return a < b


@binary
def less_equal(a, b):
    return a <= b


@binary
def greater(a, b):
    return a > b


@binary
def greater_equal(a, b):
    return a >= b


@unary
def isfinite(x):
    return x - x == x - x  # inf - inf and NaN are NaN


@unary
def logical_not(x):
    return not x


@binary
def logical_and(a, b):
    return a & b


@binary
def logical_or(a, b):
    return a | b


# -- functions --------------------------------------------------------------------------------------------------------


@unary
def exp(x):
    return _math.exp(x)


@unary
def expm1(x):
    return _math.expm1(x)


@unary
def log(x):
    T = type(x)
    tiny = x < T(2.0**-64)  # denormals are scaled up first
    y = _math.log(x * T(2.0**64) if tiny else x) - (T(64 * LN2) if tiny else T(0))
    y = y if x < T(math.inf) else x
    return y if x > T(0) else (T(-math.inf) if x == T(0) else T(math.nan))


@unary
def log1p(x):
    T = type(x)
    y = _math.log1p(x) if x < T(math.inf) else x
    return y if x > T(-1) else (T(-math.inf) if x == T(-1) else T(math.nan))


@unary
def sqrt(x):
    return math.sqrt(x)


@unary
def pow(x, exponent):
    return x * x if exponent == 2.0 else x ** type(x)(exponent)


def _sine(x):
    return _angle.turned(x, 0)


def _exact_sine(x):
    return math.sin(x)


def _cosine(x):
    return _angle.turned(x, 1)


def _exact_cosine(x):
    return math.cos(x)


sin = mended(_sine, _angle.outside, _exact_sine)
cos = mended(_cosine, _angle.outside, _exact_cosine)


@unary
def tanh(x):
    return _math.tanh(x)


# -- activations ------------------------------------------------------------------------------------------------------


@unary
def sigmoid(x):
    return _math.sigmoid(x)


@unary
def log_sigmoid(x):
    T = type(x)
    return (T(0) if x > T(0) else x) - _math.softplus_tail(x)


@unary
def softplus(x):
    T = type(x)
    return (T(0) if x < T(0) else x) + _math.softplus_tail(x)


@unary
def relu(x):
    T = type(x)
    return T(0) if x < T(0) else x


@unary
def leaky_relu(x, slope):
    T = type(x)
    return x if x > T(0) else T(slope) * x


@unary
def elu(x, alpha):
    T = type(x)
    return x if x > T(0) else T(alpha) * _math.expm1(x)


@unary
def gelu(x):
    below, _ = _math.normal(x)
    return x * below


# -- their gradients --------------------------------------------------------------------------------------------------


@binary
def tanh_grad(g_y, y):
    return g_y * (type(g_y)(1) - y * y)


@binary
def sigmoid_grad(g_y, y):
    return g_y * (y * (type(g_y)(1) - y))


@binary
def relu_grad(g_y, y):
    T = type(g_y)
    return g_y if y > T(0) else T(0)


@binary
def leaky_relu_grad(g_y, y, slope):
    T = type(g_y)
    return g_y if y > T(0) else T(slope) * g_y


@binary
def elu_grad(g_y, y, alpha):
    T = type(g_y)
    return g_y if y > T(0) else g_y * (y + T(alpha))


@binary
def softplus_grad(g_y, x):
    return g_y * _math.sigmoid(x)


@binary
def gelu_grad(g_y, x):
    below, density = _math.normal(x)
    return g_y * (below + x * density)


@binary
def clip_grad(g_y, x, low, high):
    T = type(g_y)
    return g_y if x >= T(low) and x <= T(high) else T(0)


@binary
def precedence(a, b):
    T = type(a)
    return T(1) if a > b else (T(0.5) if a == b else T(0))


def cast(x, y, *, dtype):
    """NumPy's own conversion loops: every pair of dtypes at memory speed without compiling thirty kernels."""
    y[...] = x
