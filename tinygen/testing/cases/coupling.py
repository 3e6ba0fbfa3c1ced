"""Cases of affine coupling."""

from __future__ import annotations

from typing import Any

from ... import ops
from ...errors import ArgumentError, ShapeError
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
_MODEL_GRAD: list[Any] = [((x, x[:1], x, x), {}) for (x, _, _), _ in _MODEL]

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
    bench=_MODEL_GRAD,
)
case(
    ops.affine_coupling_inverse_grad,
    _gradient_inputs,
    torch=lambda torch, g_x, g_log_det, x, s: (
        g_x * torch.exp(-s),
        -g_x * x - _lift(torch, g_log_det, x),
        -g_x * torch.exp(-s),
    ),
    bench=_MODEL_GRAD,
)


# -- with the network's output, scale and mask ------------------------------------------------------------------------


def _masked(d, gradient=False):
    shape = d.choice((2, 3), (3, 2, 2), (2, 2, 2, 3), (d.size(0, 3), d.size(0, 3)), (d.size(1, 3), 1, d.size(1, 9)))
    arrays = [d.normal(*shape), d.normal(*shape[:-1], 2 * shape[-1]), d.normal(shape[-1]), d.binary(*shape[1:])]
    return ([d.normal(*shape), d.normal(*shape[:1]), *arrays] if gradient else arrays), {}


def _torch_parts(torch, h, scale, mask):
    raw, t = h.chunk(2, -1)
    return torch.tanh(raw), scale * torch.tanh(raw) * (1 - mask), t * (1 - mask)


def _torch_masked(torch, x, h, scale, mask):
    return _forward(torch, x, *_torch_parts(torch, h, scale, mask)[1:])


def _torch_masked_inverse(torch, y, h, scale, mask):
    return _inverse(torch, y, *_torch_parts(torch, h, scale, mask)[1:])


def _torch_through_network(torch, g_s, g_t, h, scale, mask):
    a, _, _ = _torch_parts(torch, h, scale, mask)
    g_h = torch.cat([g_s * scale * (1 - mask) * (1 - a * a), g_t * (1 - mask)], -1)
    return g_h, (g_s * a * (1 - mask)).reshape(-1, len(scale)).sum(0)


def _torch_masked_grad(torch, g_y, g_log_det, x, h, scale, mask):
    g_x = g_y * torch.exp(_torch_parts(torch, h, scale, mask)[1])
    return g_x, *_torch_through_network(torch, g_x * x + _lift(torch, g_log_det, x), g_y, h, scale, mask)


def _torch_masked_inverse_grad(torch, g_x, g_log_det, x, h, scale, mask):
    g_y = g_x * torch.exp(-_torch_parts(torch, h, scale, mask)[1])
    return g_y, *_torch_through_network(torch, -g_x * x - _lift(torch, g_log_det, x), -g_y, h, scale, mask)


def _refused(*shapes):
    return error(lambda d: (tuple(d.normal(*shape) for shape in shapes), {}), ShapeError, "the shapes do not fit")


_REFUSED = [
    _refused((2, 3), (2, 3), (3,), (3,)),
    _refused((2, 3), (2, 6), (2,), (3,)),
    _refused((2, 3), (2, 6), (3,), (2, 3)),
    _refused((2,), (4,), (2,), ()),
]
_MASKED_MODEL: list[Any] = [
    (((256, 64), (256, 128), (64,), (64,)), {}),
    (((64, 32, 32, 3), (64, 32, 32, 6), (3,), (32, 32, 3)), {}),
]
_MASKED_GRAD: list[Any] = [((x, x[:1], x, *rest), {}) for (x, *rest), _ in _MASKED_MODEL]


def _masked_gradient(d):
    return _masked(d, gradient=True)


case(ops.masked_affine_coupling, _masked, torch=_torch_masked, errors=_REFUSED, bench=_MASKED_MODEL)
case(ops.masked_affine_coupling_inverse, _masked, torch=_torch_masked_inverse, errors=_REFUSED, bench=_MASKED_MODEL)
case(ops.masked_affine_coupling_grad, _masked_gradient, torch=_torch_masked_grad, bench=_MASKED_GRAD)
case(
    ops.masked_affine_coupling_inverse_grad,
    _masked_gradient,
    torch=_torch_masked_inverse_grad,
    bench=_MASKED_GRAD,
)


# -- the live weights of a dense coupling ----------------------------------------------------------------------------


def _weights(d):
    dims, hidden = d.size(1, 9), d.size(0, 70)
    arrays = d.normal(dims, hidden), d.normal(hidden, 2 * dims), d.normal(2 * dims), d.normal(dims)
    return arrays, {"kept": d.choice(0, 1)}


def _live_parts(d):
    dims, hidden, kept = d.size(1, 9), d.size(0, 70), d.choice(0, 1)
    k, m = len(range(kept, dims, 2)), len(range(1 - kept, dims, 2))
    return (d.normal(k, hidden), d.normal(hidden, 2 * m), d.normal(2 * m), d.normal(m)), {"kept": kept}


def _torch_live(torch, w_in, w_out, b_out, scale, kept):
    def columns(w):
        s, t = w.chunk(2, -1)
        return torch.cat([s[..., 1 - kept :: 2], t[..., 1 - kept :: 2]], -1)

    return w_in[kept::2], columns(w_out), columns(b_out), scale[1 - kept :: 2]


def _torch_live_grad(torch, first, last, bias, gain, kept):
    def columns(g, dims):
        whole = torch.zeros(*g.shape[:-1], 2, dims, dtype=g.dtype)
        whole[..., 1 - kept :: 2] = g.reshape(*g.shape[:-1], 2, len(gain))
        return whole.flatten(-2)

    dims = len(first) + len(gain)
    w_in, scale = torch.zeros(dims, first.shape[1], dtype=first.dtype), torch.zeros(dims, dtype=first.dtype)
    w_in[kept::2], scale[1 - kept :: 2] = first, gain
    return w_in, columns(last, dims), columns(bias, dims), scale


def _unfit(d):
    return (d.normal(4, 3), d.normal(3, 6), d.normal(6), d.normal(4)), {"kept": 0}


def _no_side(d):
    return (d.normal(4, 3), d.normal(3, 8), d.normal(8), d.normal(4)), {"kept": 2}


case(
    ops.live_weights,
    _weights,
    torch=_torch_live,
    errors=[error(_unfit, ShapeError, "the shapes do not fit"), error(_no_side, ArgumentError, "0 or 1")],
    bench=[(((64, 128), (128, 128), (128,), (64,)), {"kept": 0})],
)
case(ops.live_weights_grad, _live_parts, torch=_torch_live_grad)
