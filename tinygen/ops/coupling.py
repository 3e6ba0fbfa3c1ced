"""Affine coupling layers: the transformation of RealNVP and its inverse, with log-determinants."""

from __future__ import annotations

from .. import kernels
from ..errors import ArgumentError, ShapeError, check, shown
from ..primitive import primitive
from .elementwise import exp, tanh
from .reduce import sum as sum_over
from .shape import concat, getitem, reshape, split


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


# -- with the network's output, scale and mask ------------------------------------------------------------------------


def _check_masked(op, **named):
    (_, x), (_, h), (_, scale), (_, mask) = named.items()
    if x.ndim < 2 or (h.shape, scale.shape, mask.shape) != (
        (*x.shape[:-1], 2 * x.shape[-1]),
        x.shape[-1:],
        x.shape[1:],
    ):
        expected = "(N, ..., C) goes with h (N, ..., 2C), scale (C,) and mask (..., C)"
        raise ShapeError(f"{op}: the shapes do not fit ({shown(*named.items())}). {next(iter(named))} {expected}.")


def _scale_and_shift(h, scale, mask):
    raw, t = split(h, sections=2, axis=-1)
    return tanh(raw) * (scale * (1 - mask)), t * (1 - mask)


def _through_network(g_s, g_t, h, scale, mask):
    """From the cotangents of s and t to those of h and scale."""
    a, moved = tanh(split(h, sections=2, axis=-1)[0]), 1 - mask
    g_h = concat(g_s * (scale * moved) * (1 - a * a), g_t * moved, axis=-1)
    return g_h, sum_over(g_s * a * moved, axis=tuple(range(a.ndim - 1)))


@primitive(outs=("y", "log_det"))
def masked_affine_coupling(x, h, scale, mask):
    """affine_coupling with s = scale * tanh(h[..., :C]) * (1 - mask) and t = h[..., C:] * (1 - mask).

    x (N, ..., C), h (N, ..., 2C) as the coupling's network gave it, scale (C,), mask (..., C) with 1 where x is kept
    -> y (N, ..., C), log_det (N,) in nats.  RealNVP's layer as it is used: equation 9 with the scale of section 4.1.
    Raises ShapeError.
    """
    _check_masked("masked_affine_coupling", x=x, h=h, scale=scale, mask=mask)
    return kernels.coupling.masked_affine_coupling(x, h, scale, mask)


@masked_affine_coupling.definition
def _(x, h, scale, mask):
    return affine_coupling(x, *_scale_and_shift(h, scale, mask))


@primitive(outs=("g_x", "g_h", "g_scale"))
def masked_affine_coupling_grad(g_y, g_log_det, x, h, scale, mask):
    """Cotangents of x, h and scale in masked_affine_coupling, in one pass; shapes as there."""
    return kernels.coupling.masked_affine_coupling_grad(g_y, g_log_det, x, h, scale, mask)


@masked_affine_coupling_grad.definition
def _(g_y, g_log_det, x, h, scale, mask):
    g_x, g_s = affine_coupling_grad(g_y, g_log_det, x, _scale_and_shift(h, scale, mask)[0])
    return g_x, *_through_network(g_s, g_y, h, scale, mask)


masked_affine_coupling.share(
    all=lambda g_y, g_log_det, x, h, scale, mask: masked_affine_coupling_grad(g_y, g_log_det, x, h, scale, mask)
)
masked_affine_coupling.defvjp(x=lambda all: all[0], h=lambda all: all[1], scale=lambda all: all[2])


@primitive(outs=("x", "log_det"))
def masked_affine_coupling_inverse(y, h, scale, mask):
    """Undoes masked_affine_coupling, given the same h: y (N, ..., C) -> x, and log_det = log |det dx/dy| (N,), nats."""
    _check_masked("masked_affine_coupling_inverse", y=y, h=h, scale=scale, mask=mask)
    return kernels.coupling.masked_affine_coupling_inverse(y, h, scale, mask)


@masked_affine_coupling_inverse.definition
def _(y, h, scale, mask):
    return affine_coupling_inverse(y, *_scale_and_shift(h, scale, mask))


@primitive(outs=("g_y", "g_h", "g_scale"))
def masked_affine_coupling_inverse_grad(g_x, g_log_det, x, h, scale, mask):
    """Cotangents of y, h and scale in masked_affine_coupling_inverse, from its output x."""
    return kernels.coupling.masked_affine_coupling_inverse_grad(g_x, g_log_det, x, h, scale, mask)


@masked_affine_coupling_inverse_grad.definition
def _(g_x, g_log_det, x, h, scale, mask):
    s, _ = _scale_and_shift(h, scale, mask)
    g_y, g_s, g_t = affine_coupling_inverse_grad(g_x, g_log_det, x, s)
    return g_y, *_through_network(g_s, g_t, h, scale, mask)


masked_affine_coupling_inverse.share(
    all=lambda g_x, g_log_det, x, h, scale, mask: masked_affine_coupling_inverse_grad(g_x, g_log_det, x, h, scale, mask)
)
masked_affine_coupling_inverse.defvjp(y=lambda all: all[0], h=lambda all: all[1], scale=lambda all: all[2])


# -- with a mask of every second entry, on dense networks ------------------------------------------------------------


def _every_second(x, start):
    return getitem(x, index=(..., slice(start, None, 2)))


@primitive(outs=("first", "last", "bias", "gain"))
def live_weights(w_in, w_out, b_out, scale, *, kept):
    """What is left of a dense coupling when its mask keeps every second entry of a row (N, D), from `kept` (0 or 1) on.

    w_in (D, H) of the network's first layer, w_out (H, 2D) and b_out (2D,) of its last, scale (D,) -> first (K, H) for
    the K entries that are kept, last (H, 2M) and bias (2M,) for s and t of the M that move, gain (M,): all other
    weights multiply zeros, or make what is not looked at.  Their gradient is zero.  Raises ShapeError.
    """
    shapes = {"w_in": w_in, "w_out": w_out, "b_out": b_out, "scale": scale}
    d, h = w_in.shape if w_in.ndim == 2 else (-1, -1)
    if (w_out.shape, b_out.shape, scale.shape) != ((h, 2 * d), (2 * d,), (d,)):
        expected = "w_in (D, H) goes with w_out (H, 2D), b_out (2D,) and scale (D,)"
        raise ShapeError(f"live_weights: the shapes do not fit ({shown(*shapes.items())}). {expected}.")
    check(kept in (0, 1), ArgumentError, f"live_weights: kept must be 0 or 1, got {kept!r}.")
    return kernels.coupling.live_weights(w_in, w_out, b_out, scale, kept=kept)


@live_weights.definition
def _(w_in, w_out, b_out, scale, *, kept):
    def columns(w):
        return concat(*[_every_second(half, 1 - kept) for half in split(w, sections=2, axis=-1)], axis=-1)

    first = getitem(w_in, index=slice(kept, None, 2))
    return first, columns(w_out), columns(b_out), _every_second(scale, 1 - kept)


@primitive(outs=("g_w_in", "g_w_out", "g_b_out", "g_scale"))
def live_weights_grad(g_first, g_last, g_bias, g_gain, *, kept):
    """The adjoint of live_weights: its outputs (K, H), (H, 2M), (2M,), (M,) back in their places, among zeros."""
    return kernels.coupling.live_weights_grad(g_first, g_last, g_bias, g_gain, kept=kept)


live_weights.share(
    all=lambda g_first, g_last, g_bias, g_gain, kept: live_weights_grad(g_first, g_last, g_bias, g_gain, kept=kept)
)
live_weights.defvjp(
    w_in=lambda all: all[0], w_out=lambda all: all[1], b_out=lambda all: all[2], scale=lambda all: all[3]
)
live_weights_grad.share(
    all=lambda g_g_w_in, g_g_w_out, g_g_b_out, g_g_scale, kept: live_weights(
        g_g_w_in, g_g_w_out, g_g_b_out, g_g_scale, kept=kept
    )
)
live_weights_grad.defvjp(
    g_first=lambda all: all[0], g_last=lambda all: all[1], g_bias=lambda all: all[2], g_gain=lambda all: all[3]
)
