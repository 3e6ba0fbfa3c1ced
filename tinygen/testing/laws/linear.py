"""Linear maps and their transposes; every vector-Jacobian product is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import shape_text
from ...modes import no_grad
from ...tensor import Tensor
from ..functions import as_function
from ..seeding import chosen
from .broken import LawBroken, compare, float64


def linear(f: Callable[[Tensor], Tensor], x: Any, *, seed: int | None = None, tolerance: float = 1e-10) -> None:
    """f(a x + b y) = a f(x) + b f(y) for normals x, y of the shape of x, and random a, b."""
    seed = chosen(seed)
    rng = np.random.Generator(np.random.Philox(seed))
    one, two = rng.standard_normal((2, *float64(x).shape))
    a, b = rng.standard_normal(2)
    at = lambda value: _apply(f, value)
    compare(f"linearity (seed {seed})", at(a * one + b * two), a * at(one) + b * at(two), tolerance)


def adjoint(
    forward: Callable[[Tensor], Tensor],
    transpose: Callable[[Tensor], Tensor],
    x: Any,
    *,
    seed: int | None = None,
    draws: int = 3,
    tolerance: float = 1e-10,
) -> None:
    """<A x, y> = <x, A'y> for normals x and y: `transpose` is the adjoint of the linear map `forward`.

    x gives the shape of the inputs.  A single wrong entry of n in the matrix shows in each draw with an error of its
    size over sqrt(n).  Convolution against transposed convolution, gather against scatter, sum against broadcast.
    """
    seed = chosen(seed)
    rng = np.random.Generator(np.random.Philox(seed))
    for _ in range(draws):
        x = rng.standard_normal(float64(x).shape)
        ax = _apply(forward, x)
        y = rng.standard_normal(ax.shape)
        aty = _apply(transpose, y)
        if aty.shape != x.shape:
            raise LawBroken(
                f"adjoint: the transpose maps {shape_text(y.shape)} to {shape_text(aty.shape)}, "
                f"not {shape_text(x.shape)}."
            )
        left, right = float(np.vdot(ax, y)), float(np.vdot(x, aty))
        size = float(np.linalg.norm(ax) * np.linalg.norm(y))
        if not abs(left - right) <= tolerance * max(size, 1.0):
            raise LawBroken(f"adjoint: <Ax, y> is {left:.10g}, <x, A'y> is {right:.10g} (seed {seed}).")


def vjp_is_linear(f: Any, *inputs: Any, seed: int | None = None, tolerance: float = 1e-10, **params: Any) -> None:
    """The gradient for the cotangent a v + b w is a times that for v plus b times that for w.

    f: whatever gradcheck takes.  No differences are needed, so kinks are no obstacle, nor is float32 (with a tolerance
    of 1e-4, say).
    """
    function = as_function(f, params)
    arrays = [np.array(x.data if isinstance(x, Tensor) else x) for x in inputs]
    seed = chosen(seed)
    rng = np.random.Generator(np.random.Philox(seed))
    ys = function.value(arrays)
    if not ys:
        return
    v, w = ([np.asarray(rng.standard_normal(y.shape)).astype(y.dtype) for y in ys] for _ in range(2))
    a, b = rng.standard_normal(2).astype(ys[0].dtype)
    both = function.gradient(arrays, [np.asarray(a * c + b * d) for c, d in zip(v, w, strict=True)])
    for i, (g, c, d) in enumerate(zip(both, function.gradient(arrays, v), function.gradient(arrays, w), strict=True)):
        if g is not None and c is not None and d is not None:
            compare(f"linearity of the vjp for input {i} (seed {seed})", g, a * c + b * d, tolerance)


def _apply(f: Callable[[Tensor], Tensor], x: np.ndarray) -> np.ndarray:
    with no_grad():
        return f(Tensor(np.asarray(x))).data
