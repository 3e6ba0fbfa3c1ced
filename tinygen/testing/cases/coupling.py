"""Cases of affine coupling."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...errors import ShapeError
from ..registry import case, error


def _shape(d):
    return d.choice((2, 3), (1,), (3, 2, 2), (d.size(0, 4), d.size(0, 5)), (2, 1), (5, 33))


def _three(d):
    shape = _shape(d)
    return (d.normal(*shape), d.normal(*shape), d.normal(*shape)), {}


def _events(torch, s):
    return s.flatten(1).sum(1) if s.ndim > 1 else s


def _forward(torch, x, s, t):
    return x * torch.exp(s) + t, _events(torch, s)


def _inverse(torch, y, s, t):
    return (y - t) * torch.exp(-s), -_events(torch, s)


def _lift(torch, g, x):
    return g.reshape(-1, *[1] * (x.ndim - 1))


def _gradient_inputs(d):
    shape = _shape(d)
    return (d.normal(*shape), d.normal(*shape[:1]), d.normal(*shape), d.normal(*shape)), {}


def _mismatch(d):
    return (d.normal(2, 3), d.normal(2, 3), d.normal(2, 4)), {}


def _scalars(d):
    return (d.normal(), d.normal(), d.normal()), {}


_MODEL: list[Any] = [(((256, 64), (256, 64), (256, 64)), {}), (((64, 32, 32, 3),) * 3, {})]

case(
    ops.affine_coupling,
    _three,
    torch=_forward,
    errors=[error(_mismatch, ShapeError, "the shapes differ"), error(_scalars, ShapeError, "no batch axis")],
    bench=_MODEL,
)
case(
    ops.affine_coupling_inverse,
    _three,
    torch=_inverse,
    errors=[error(_mismatch, ShapeError, "the shapes differ"), error(_scalars, ShapeError, "no batch axis")],
    bench=_MODEL,
)
case(
    ops.affine_coupling_grad,
    _gradient_inputs,
    torch=lambda torch, g_y, g_log_det, x, s: (
        g_y * torch.exp(s),
        g_y * torch.exp(s) * x + _lift(torch, g_log_det, x),
    ),
)
case(
    ops.affine_coupling_inverse_grad,
    _gradient_inputs,
    torch=lambda torch, g_x, g_log_det, x, s: (
        g_x * torch.exp(-s),
        -g_x * x - _lift(torch, g_log_det, x),
        -g_x * torch.exp(-s),
    ),
)
