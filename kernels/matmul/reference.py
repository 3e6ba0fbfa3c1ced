"""The specification of matmul and linear."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._then import follow
from ..elementwise import reference as elementwise
from . import ACTIVATIONS

Array = Any


def matmul(a: Array, b: Array, y: Array, *, trans_a: bool, trans_b: bool) -> None:
    y[...] = np.matmul(np.swapaxes(a, -1, -2) if trans_a else a, np.swapaxes(b, -1, -2) if trans_b else b)


def matmul_then(a: Array, b: Array, *rest: Array, then: tuple, trans_a: bool, trans_b: bool) -> None:
    z = np.empty_like(rest[-1])
    matmul(a, b, z, trans_a=trans_a, trans_b=trans_b)
    follow(then, z, rest, elementwise)


def linear(x: Array, w: Array, b: Array, y: Array, *, activation: str | None) -> None:
    y[...] = np.matmul(x, w) + b
    if activation:
        getattr(elementwise, activation)(y.copy(), y, **ACTIVATIONS[activation])


def linear_weight_grad(x: Array, g: Array, g_w: Array, g_b: Array) -> None:
    g_w[...] = x.T @ g
    g_b[...] = g.sum(axis=0)
