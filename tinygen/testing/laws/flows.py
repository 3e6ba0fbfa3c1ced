"""Invertible maps and their volumes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...autograd import grad, leaf
from ...modes import no_grad
from ...tensor import Tensor
from .broken import compare, float64


def jacobian(f: Any, x: Any) -> np.ndarray:
    """The Jacobian of f: (N, ...) -> (N, D) at x, by one gradient per output: (N, D, D), exact for float64 models."""
    at = leaf(Tensor(float64(x)))
    y = f(at)
    n, dims = y.shape
    rows = []
    for d in range(dims):
        g = np.zeros((n, dims))
        g[:, d] = 1
        rows.append(grad(y, at, g, retain_graph=True, allow_unused=True).data.reshape(n, -1))
    return np.stack(rows, axis=1)


def log_det_matches_jacobian(flow: Any, x: Any, *, tolerance: float = 1e-8) -> None:
    """The log_det that flow.forward(x) returns is log|det| of the Jacobian of z, example by example.

    flow: forward(x) -> (z (N, D), log_det (N,)), in float64.  That `inverse` undoes `forward` would not show it: both
    may be wrong by the same factor.
    """
    with no_grad():
        _, log_det = flow.forward(Tensor(float64(x)))
    _, expected = np.linalg.slogdet(jacobian(lambda a: _flat(flow.forward(a)[0]), x))
    compare("log_det against the Jacobian", log_det.data, expected, tolerance)


def inverse_undoes_forward(flow: Any, x: Any, *, tolerance: float = 1e-8) -> None:
    """inverse(forward(x)) is x, and the two log_dets cancel."""
    with no_grad():
        z, forward = flow.forward(Tensor(float64(x)))
        back, inverse = flow.inverse(z)
    compare("inverse(forward(x)) against x", back.data, float64(x), tolerance)
    compare("log_det of inverse against minus that of forward", inverse.data, -forward.data, tolerance)


def _flat(z: Tensor) -> Any:
    return z.reshape(len(z), -1)
