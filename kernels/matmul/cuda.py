"""Launches of matmul.cu.  Sums run over k in order, in the dtype itself, so they agree with the CPU's to rounding."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from .._cuda.launcher import launch
from .._cuda.source import Source
from .._cuda.walk import ways
from .._prepared import prepared
from .._then import Step, parsed
from ..reduce.cuda import sum as summed
from . import ACTIVATIONS

Array = Any

SOURCE = Source(__file__, "matmul.cu", T=("float32", "float64"))
THREADS, TILE = 256, 64

SIZES = np.dtype([(name, "<i8") for name in ("m", "n", "k", "a_row", "a_k", "b_k", "b_column")])
CODES = [(name, "<i4") for name in ("activation", "gate", "also", "unused")]
THEN = np.dtype([*CODES, *[(name, "<f8") for name in ("slope", "gate_slope", "also_slope")]])
CODE = {None: 0, "relu": 1, "leaky_relu": 2, "tanh": 3, "sigmoid": 4, "softplus": 5, "elu": 6}  # as in matmul.cu


def _leading(x: Array, batch: tuple[int, ...]) -> tuple[int, ...]:
    """How many entries a contiguous x (..., M, N) moves along each axis of the batch that it broadcasts to."""
    step, moves = prod(x.shape[-2:]), []
    for n in reversed(x.shape[:-2]):
        moves.append(0 if n == 1 else step)
        step *= n
    return (*[0] * (len(batch) - len(moves)), *reversed(moves))


def _product(
    a: Array, b: Array, y: Array, trans_a: bool, trans_b: bool, then: dict[str, Any], *extras: Array | None
) -> None:
    """y = a b, then what `then` says; extras: bias, gate, what is added, and the second output, None where absent."""
    if not y.size:
        return
    m, n = y.shape[-2:]
    k = a.shape[-2 if trans_a else -1]
    steps = (*((1, m) if trans_a else (k, 1)), *((1, k) if trans_b else (n, 1)))
    sizes, codes = np.array((m, n, k, *steps), SIZES), np.zeros((), THEN)
    for name, value in then.items():
        codes[name] = value
    for way in ways(y.shape[:-2], _leading(a, y.shape[:-2]), _leading(b, y.shape[:-2])):
        grid = (int(way["n"]) * -(-m // TILE) * -(-n // TILE),)
        launch(SOURCE, "matmul_product", grid, (THREADS,), (a, b, y, sizes, way, codes, *extras), T=y.dtype)


@prepared
def matmul(a: Array, b: Array, y: Array, *, trans_a: bool, trans_b: bool) -> None:
    _product(a, b, y, trans_a, trans_b, {}, None, None, None, None)


@prepared
def linear(x: Array, w: Array, b: Array, y: Array, *, activation: str | None) -> None:
    rows, (i, o) = prod(x.shape[:-1]), w.shape
    slope = sum(ACTIVATIONS[activation].values()) if activation else 0.0  # its only parameter, if it has one
    then = {"activation": CODE[activation], "slope": slope}
    _product(x.reshape(rows, i), w, y.reshape(rows, o), False, False, then, b, None, None, None)


@prepared
def matmul_then(a: Array, b: Array, *rest: Array, then: tuple[Step, ...], trans_a: bool, trans_b: bool) -> None:
    bias = gate = added = second = None
    codes: dict[str, Any] = {}
    arrays = iter(rest)
    for name, given in map(parsed, then):
        if name == "bias":
            bias = next(arrays)
        elif name == "add":
            added = next(arrays)
        elif name == "also":
            codes |= {"also": CODE[given[0]], "also_slope": given[1] or 0.0}
        elif name.endswith("_grad"):
            gate = next(arrays)
            codes |= {"gate": CODE[name.removesuffix("_grad")], "gate_slope": given or 0.0}
        else:
            codes |= {"activation": CODE[name], "slope": given or 0.0}
    y, *more = arrays
    if more:
        (second,) = more
    _product(a, b, y, trans_a, trans_b, codes, bias, gate, added, second)


@prepared
def linear_weight_grad(x: Array, g: Array, g_w: Array, g_b: Array) -> None:
    _product(x, g, g_w, True, False, {}, None, None, None, None)
    summed(g, g_b, axes=(0,), keepdims=False, divisor=1)
