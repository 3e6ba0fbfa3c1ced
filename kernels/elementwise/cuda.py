"""Launches of elementwise.cu and cast.cu.  Functions are the C library's: results agree with the CPU's to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.source import Source
from .._cuda.walk import THREADS, blocks, steps, ways
from .._prepared import prepared

Array = Any

TABLE = Source(__file__, "elementwise.cu", T=("float32", "float64", "int32", "int64", "uint8", "bool"))
CASTS = Source(__file__, "cast.cu")


def _parameters(dtype: np.dtype, params: dict[str, float]) -> list[Any]:
    """p and q of the formula, in its type."""
    return [dtype.type(value) for value in (*params.values(), 0, 0)[:2]]


def _unary(name: str) -> Callable[..., None]:
    """The kernel (x, y, **params)."""

    @prepared
    def run(x: Array, y: Array, **params: float) -> None:
        args = x, y, np.int64(y.size), *_parameters(x.dtype, params)
        launch(TABLE, f"elementwise_{name}", blocks(y.size), (THREADS,), args, T=x.dtype)

    return run


def _binary(name: str) -> Callable[..., None]:
    """The kernel (a, b, y, **params), a and b broadcast to y."""

    @prepared
    def run(a: Array, b: Array, y: Array, **params: float) -> None:
        for way in ways(y.shape, steps(a, y.shape), steps(b, y.shape)):
            args = a, b, y, way, *_parameters(b.dtype, params)
            launch(TABLE, f"elementwise_{name}", blocks(way["n"]), (THREADS,), args, T=b.dtype)

    return run


@prepared
def where(cond: Array, a: Array, b: Array, y: Array) -> None:
    for way in ways(y.shape, *[steps(x, y.shape) for x in (cond, a, b)]):
        launch(TABLE, "elementwise_where", blocks(way["n"]), (THREADS,), (cond, a, b, y, way), T=b.dtype)


@prepared
def cast(x: Array, y: Array, *, dtype: np.dtype) -> None:
    launch(CASTS, f"cast_{x.dtype.name}_{y.dtype.name}", blocks(y.size), (THREADS,), (x, y, np.int64(y.size)))


add, sub, mul, div, maximum, minimum = map(_binary, ("add", "sub", "mul", "div", "maximum", "minimum"))
neg, abs, sign, floor, clip = map(_unary, ("neg", "abs", "sign", "floor", "clip"))
equal, not_equal, less = map(_binary, ("equal", "not_equal", "less"))
less_equal, greater, greater_equal = map(_binary, ("less_equal", "greater", "greater_equal"))
isfinite, logical_not = map(_unary, ("isfinite", "logical_not"))
logical_and, logical_or = map(_binary, ("logical_and", "logical_or"))
exp, expm1, log, log1p, sqrt, pow = map(_unary, ("exp", "expm1", "log", "log1p", "sqrt", "pow"))
sin, cos, tanh = map(_unary, ("sin", "cos", "tanh"))
sigmoid, log_sigmoid, softplus = map(_unary, ("sigmoid", "log_sigmoid", "softplus"))
relu, leaky_relu, elu, gelu = map(_unary, ("relu", "leaky_relu", "elu", "gelu"))
tanh_grad, sigmoid_grad, relu_grad = map(_binary, ("tanh_grad", "sigmoid_grad", "relu_grad"))
leaky_relu_grad, elu_grad, softplus_grad = map(_binary, ("leaky_relu_grad", "elu_grad", "softplus_grad"))
gelu_grad, clip_grad, precedence = map(_binary, ("gelu_grad", "clip_grad", "precedence"))
