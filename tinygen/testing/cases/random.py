"""Cases of the differentiable sampling ops; draws themselves are tested against their distributions."""

from __future__ import annotations

from ... import ops
from ...errors import ShapeError
from ..registry import case, error


def _three(d):
    shape = d.choice((2, 3), (), (5,), (d.size(0, 3), d.size(0, 4), 2))
    return (d.normal(*shape), d.normal(*shape), d.normal(*shape)), {}


case(
    ops.gaussian_sample,
    _three,
    torch=lambda torch, mu, log_var, eps: mu + torch.exp(log_var / 2) * eps,
    errors=[error(lambda d: ((d.normal(2, 3), d.normal(3), d.normal(2, 3)), {}), ShapeError, "the shapes differ")],
    bench=[(((128, 20), (128, 20), (128, 20)), {})],
)
case(
    ops.gaussian_sample_grad,
    _three,
    torch=lambda torch, g_z, log_var, eps: g_z * eps * torch.exp(log_var / 2) / 2,
)
