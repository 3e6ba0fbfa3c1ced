"""Affine coupling layers: the transformation of RealNVP and its inverse, with log-determinants."""

from __future__ import annotations

from .. import kernels
from ..errors import ShapeError, check, shown
from ..primitive import primitive
from .elementwise import exp
from .reduce import sum as sum_over
from .shape import reshape


def _check(op, **named):
    arrays = list(named.values())
    if any(a.shape != arrays[0].shape for a in arrays):
        raise ShapeError(f"{op}: the shapes differ ({shown(*named.items())}). Give all of them one shape (N, ...).")
    check(arrays[0].ndim, ShapeError, f"{op}: scalars have no batch axis. Give arrays of shape (N, ...).")


def _sum_events(s):
    """Sum over every axis but the first.  (N, ...) -> (N,)."""
    return sum_over(s, axis=tuple(range(1, s.ndim))) if s.ndim > 1 else s


def _per_example(g, x):
    """(N,) with further axes of length 1, to meet x (N, ...)."""
    return reshape(g, shape=(x.shape[0], *[1] * (x.ndim - 1)))


@primitive(outs=("y", "log_det"))
def affine_coupling(x, s, t):
    """y = x * exp(s) + t and log_det = log |det dy/dx| = sum of s per example.

    x, s, t (N, ...) -> y (N, ...), log_det (N,) in nats.  Where s and t are zero, x passes unchanged, so masks are
    applied to s and t.  Dinh, Sohl-Dickstein, Bengio 2017 (RealNVP), equations 7 and 8.  Raises ShapeError.
    """
    _check("affine_coupling", x=x, s=s, t=t)
    return kernels.coupling.affine_coupling(x, s, t)


@affine_coupling.definition
def _(x, s, t):
    return x * exp(s) + t, _sum_events(s)


@primitive(outs=("g_x", "g_s"))
def affine_coupling_grad(g_y, g_log_det, x, s):
    """Cotangents of x and s in affine_coupling, in one pass.  g_y, x, s (N, ...), g_log_det (N,) -> two (N, ...)."""
    return kernels.coupling.affine_coupling_grad(g_y, g_log_det, x, s)


@affine_coupling_grad.definition
def _(g_y, g_log_det, x, s):
    g_x = g_y * exp(s)
    return g_x, g_x * x + _per_example(g_log_det, x)


affine_coupling.share(both=lambda g_y, g_log_det, x, s: affine_coupling_grad(g_y, g_log_det, x, s))
affine_coupling.defvjp(x=lambda both: both[0], s=lambda both: both[1], t=lambda g_y: g_y)


@primitive(outs=("x", "log_det"))
def affine_coupling_inverse(y, s, t):
    """x = (y - t) * exp(-s) and log_det = log |det dx/dy| = -(sum of s) per example: undoes affine_coupling.

    y, s, t (N, ...) -> x (N, ...), log_det (N,) in nats.  Raises ShapeError.
    """
    _check("affine_coupling_inverse", y=y, s=s, t=t)
    return kernels.coupling.affine_coupling_inverse(y, s, t)


@affine_coupling_inverse.definition
def _(y, s, t):
    return (y - t) * exp(-s), -_sum_events(s)


@primitive(outs=("g_y", "g_s", "g_t"))
def affine_coupling_inverse_grad(g_x, g_log_det, x, s):
    """Cotangents of y, s and t in affine_coupling_inverse, from its output x.  All (N, ...) but g_log_det (N,)."""
    return kernels.coupling.affine_coupling_inverse_grad(g_x, g_log_det, x, s)


@affine_coupling_inverse_grad.definition
def _(g_x, g_log_det, x, s):
    g_y = g_x * exp(-s)
    return g_y, -g_x * x - _per_example(g_log_det, x), -g_y


affine_coupling_inverse.share(all=lambda g_x, g_log_det, x, s: affine_coupling_inverse_grad(g_x, g_log_det, x, s))
affine_coupling_inverse.defvjp(y=lambda all: all[0], s=lambda all: all[1], t=lambda all: all[2])
