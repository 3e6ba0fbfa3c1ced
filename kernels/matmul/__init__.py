"""Matrix products and the dense layer, forward and backward by one kernel.

2 M N K operations for M K + K N + M N elements read and written once: bound by arithmetic for all but the thinnest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._kernel import Spec, kernel
from .._then import Step, outputs
from .._then import supports as supports

Array = Any

ACTIVATIONS: dict[str, dict[str, float]] = {  # kernels of the elementwise family that `linear` may end with
    "relu": {},
    "leaky_relu": {"slope": 0.01},
    "tanh": {},
    "sigmoid": {},
    "softplus": {},
    "elu": {"alpha": 1.0},
}


def steps(activation: str | None) -> tuple[Step, ...]:
    """A layer's bias and activation as steps; the bias alone where the activation is none of the steps."""
    if activation == "relu":
        return "bias", "relu"
    return ("bias", (activation, *ACTIVATIONS[activation].values())) if activation == "leaky_relu" else ("bias",)


def geometry(
    a: Array, b: Array, y: Array, trans_a: bool, trans_b: bool
) -> tuple[tuple[int, int, int], tuple[int, ...], tuple[int, int], tuple[int, int]]:
    """(m, n, k) of each product, the batch, and the steps in entries of a's (rows, depth) and b's (depth, columns)."""
    (k, m) = a.shape[-2:] if trans_a else a.shape[:-3:-1]
    n, batch = y.shape[-1], y.shape[:-2]
    if batch and b.ndim == 2 and not trans_a:  # one matrix for all: the batch is but more rows
        m, batch = y.size // n if n else 0, ()
    return (m, n, k), batch, (1, m) if trans_a else (k, 1), (1, k) if trans_b else (n, 1)


@kernel("y")
def matmul(a: Array, b: Array, *, trans_a: bool = False, trans_b: bool = False) -> Spec:
    """y = a b over the last two axes, either one transposed first; leading axes broadcast.

    a (..., M, K), or (..., K, M) if trans_a; b (..., K, N), or (..., N, K) if trans_b -> y (..., M, N).
    """
    m, n = a.shape[-1 if trans_a else -2], b.shape[-2 if trans_b else -1]
    batch = a.shape[:-2] if a.shape[:-2] == b.shape[:-2] else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return Spec((*batch, m, n), a.dtype)


@kernel("y")
def linear(x: Array, w: Array, b: Array, *, activation: str | None = None) -> Spec:
    """y = activation(x w + b).  x (..., I), w (I, O), b (O,) -> y (..., O)."""
    return Spec((*x.shape[:-1], w.shape[1]), x.dtype)


@kernel("y", "also")
def matmul_then(
    a: Array, b: Array, *extras: Array, then: tuple[Step, ...] = (), trans_a: bool = False, trans_b: bool = False
) -> Any:
    """`matmul`, then the steps of `_then.py`: with its bits and those of the elementwise kernels, in one pass.

    a (..., M, K), b (K, N), each possibly transposed as in `matmul`; bias (N,), other extras like y -> y (..., M, N),
    and with ("also", activation) a second output like it.
    """
    return outputs(then, matmul.plan(a, b, trans_a=trans_a, trans_b=trans_b))


@kernel("g_w", "g_b")
def linear_weight_grad(x: Array, g: Array) -> tuple[Spec, Spec]:
    """The gradients of a dense layer's w and b: x^T g, and the sums of g's columns, for which g is read once.

    x (M, I), g (M, O) -> (I, O), (O,).
    """
    return Spec((x.shape[1], g.shape[1]), x.dtype), Spec(g.shape[1:], g.dtype)
