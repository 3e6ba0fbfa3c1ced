"""Cases of convolutions."""

from __future__ import annotations

import numpy as np

from ... import kernels, ops
from ...errors import ArgumentError, DTypeError, ShapeError
from ...kernels.conv import out_hw
from ...tensor import Tensor
from ..registry import case, error
from .matmul import extras, steps

# -- the same mathematics in PyTorch, channels first inside -----------------------------------------------------------


def first(x):
    return x.permute(0, 3, 1, 2)


def last(y):
    return y.permute(0, 2, 3, 1)


def live(shape, mask, colors):
    """Which entries of weights (K, K', C, O) a mask keeps: those that come before the centre, colour by colour."""
    rows, columns, c, o = shape
    taps, centre = np.arange(rows * columns).reshape(rows, columns, 1), rows // 2 * columns + columns // 2
    place, own = (at * colors + np.arange(n) * colors // n for at, n in ((taps, c), (centre, o)))
    return (np.less if mask == "A" else np.less_equal)(place[..., None], own)


def _masked(torch, w, mask, colors):
    return w if mask is None else w * torch.tensor(live(tuple(w.shape), mask, colors))


def _padded(torch, x, pad):
    (top, bottom), (left, right) = pad
    return torch.nn.functional.pad(first(x), (left, right, top, bottom))


def _torch_conv(torch, x, w, *, stride, pad, dilation, mask=None, colors=1):
    w = _masked(torch, w, mask, colors).permute(3, 2, 0, 1)
    return last(torch.nn.functional.conv2d(_padded(torch, x, pad), w, stride=stride, dilation=dilation))


def _torch_input_grad(torch, g, w, *, x_hw, stride, pad, dilation, mask=None, colors=1):
    w = _masked(torch, w, mask, colors).permute(3, 2, 0, 1)
    whole = torch.nn.functional.conv_transpose2d(first(g), w, stride=stride, dilation=dilation)
    (top, _), (left, _) = pad
    rest = [n + sum(p) - m for n, p, m in zip(x_hw, pad, whole.shape[2:])]
    whole = torch.nn.functional.pad(whole, (0, rest[1], 0, rest[0]))
    return last(whole[:, :, top : top + x_hw[0], left : left + x_hw[1]])


def _torch_weight_grad(torch, x, g, *, k, stride, pad, dilation, mask=None, colors=1):
    seen = torch.nn.functional.unfold(_padded(torch, x, pad), k, dilation=dilation, stride=stride)
    seen = seen.reshape(len(x), x.shape[3], *k, g.shape[1] * g.shape[2])
    product = torch.einsum("nchwp,npo->hwco", seen, g.flatten(1, 2))
    return _masked(torch, product, mask, colors)


# -- samples ----------------------------------------------------------------------------------------------------------


def _geometry(d):
    """(N, x_hw, k, y_hw, parameters) with at least one window."""
    k = d.choice((3, 3), (1, 1), (2, 3), (4, 4), (5, 3))
    how = {
        "stride": d.choice((1, 1), (2, 2), (2, 1), (1, 3)),
        "pad": d.choice(((1, 1), (1, 1)), ((0, 0), (0, 0)), ((2, 2), (1, 1)), ((0, 1), (3, 0))),
        "dilation": d.choice((1, 1), (1, 1), (2, 1), (2, 2)),
    }
    least = [(size - 1) * spread + 1 - sum(p) for size, spread, p in zip(k, how["dilation"], how["pad"])]
    x_hw = tuple([d.size(max(n, 1), max(n, 1) + 4) for n in least])
    return d.size(0, 3), x_hw, k, out_hw(x_hw, k, **how), how


def _channels(d):
    """(C, O): one, a few, more than the kernels' limits for narrow ones, many to few, more than a tile is wide."""
    return d.choice((3, 4), (1, 9), (8, 8), (9, 2), (22, 9), (17, 35), (d.size(1, 12), d.size(1, 12)))


def _wide(d):
    """Geometry and channels that meet the gathering kernels with everything at once: stride, uneven pads, dilation."""
    k, how = (2, 3), {"stride": (2, 3), "pad": ((2, 0), (1, 3)), "dilation": d.choice((1, 1), (2, 1))}
    x_hw = d.size(5, 9), d.size(5, 9)
    return 2, x_hw, k, out_hw(x_hw, k, **how), how, d.choice((17, 35), (9, 33))


def _wide_forward(d):
    n, x_hw, k, _, how, (c, o) = _wide(d)
    return (d.normal(n, *x_hw, c), d.normal(*k, c, o)), how


def _wide_input_grad(d):
    n, x_hw, k, y_hw, how, (c, o) = _wide(d)
    return (d.normal(n, *y_hw, o), d.normal(*k, c, o)), {"x_hw": x_hw, **how}


def _wide_weight_grad(d):
    n, x_hw, k, y_hw, how, (c, o) = _wide(d)
    return (d.normal(n, *x_hw, c), d.normal(n, *y_hw, o)), {"k": k, **how}


def _forward(d):
    n, x_hw, k, _, how = _geometry(d)
    c, o = _channels(d)
    return (d.normal(n, *x_hw, c), d.normal(*k, c, o)), how


def _input_grad(d):
    n, x_hw, k, y_hw, how = _geometry(d)
    c, o = _channels(d)
    return (d.normal(n, *y_hw, o), d.normal(*k, c, o)), {"x_hw": x_hw, **how}


def _weight_grad(d):
    n, x_hw, k, y_hw, how = _geometry(d)
    c, o = _channels(d)
    return (d.normal(n, *x_hw, c), d.normal(n, *y_hw, o)), {"k": k, **how}


def _causal(d):
    """(N, H, W, C), (K, K', C, O), parameters: same size out as in."""
    k = d.choice((3, 3), (5, 5), (1, 1), (3, 5))
    colors = d.choice(1, 3)
    c, o = d.choice((3, 9), (4, 5), (9, 3), (10, 12), (9, 33)) if colors == 3 else _channels(d)
    how = {
        "stride": (1, 1),
        "pad": tuple([(n // 2, n // 2) for n in k]),
        "dilation": (1, 1),
        "mask": d.choice("A", "B"),
        "colors": colors,
    }
    return (d.size(0, 2), d.size(1, 6), d.size(1, 6), c), (*k, c, o), how


def _causal_forward(d):
    x, w, how = _causal(d)
    return (d.normal(*x), d.normal(*w)), how


def _causal_input_grad(d):
    x, w, how = _causal(d)
    return (d.normal(*x[:3], w[3]), d.normal(*w)), {"x_hw": x[1:3], **how}


def _causal_weight_grad(d):
    x, w, how = _causal(d)
    return (d.normal(*x), d.normal(*x[:3], w[3])), {"k": w[:2], **how}


def _with_bias(d, bound):
    """bound: the bias decides the sign before the activation, at a distance from its kink."""
    (x, w), how = d.choice(_forward, _causal_forward)(d)
    b = d.away(w.shape[3])
    return (np.clip(x, -1, 1), w * 0.02 / max(np.abs(w).sum(axis=(0, 1, 2)).max(), 1e-9), b) if bound else (
        x,
        w,
        b,
    ), how


def _smooth(d):
    inputs, how = _with_bias(d, False)
    return inputs, {"activation": d.choice(None, "tanh", "sigmoid", "softplus"), **how}


def _kinked(d):
    inputs, how = _with_bias(d, True)
    return inputs, {"activation": d.choice("relu", "leaky_relu", "elu"), **how}


def _torch_bias_act(torch, x, w, b, *, activation, **how):
    y = _torch_conv(torch, x, w, **how) + b
    return y if activation is None else getattr(torch.nn.functional, activation)(y)


# -- the family -------------------------------------------------------------------------------------------------------


def _x_w(d):
    return d.normal(2, 8, 8, 3), d.normal(3, 3, 3, 4)


case(
    ops.conv2d,
    _forward,
    torch=_torch_conv,
    errors=[
        error(
            lambda d: ((d.normal(1, 5, 5, 3), d.normal(3, 3, 5, 4)), {}), ShapeError, "w has 5 input channels, x has 3"
        ),
        error(lambda d: ((d.normal(5, 5, 3), d.normal(3, 3, 3, 4)), {}), ShapeError, "x has shape \\(5,5,3\\)"),
        error(lambda d: ((d.normal(1, 0, 5, 3), d.normal(3, 3, 3, 4)), {}), ShapeError, "none but N empty"),
        error(lambda d: ((d.normal(1, 5, 5, 3), d.normal(3, 3, 3)), {}), ShapeError, "w has shape"),
        error(lambda d: ((d.normal(1, 4, 4, 3), d.normal(5, 5, 3, 4)), {}), ShapeError, "no window of 5x5 taps"),
        error(lambda d: ((d.integers(1, 5, 5, 3, high=9), d.normal(3, 3, 3, 4)), {}), DTypeError, "x is int64"),
        error(lambda d: (_x_w(d), {"stride": 0}), ArgumentError, "stride is 0"),
        error(lambda d: (_x_w(d), {"dilation": (1, 2, 3)}), ArgumentError, "dilation is"),
        error(lambda d: (_x_w(d), {"pad": -1}), ArgumentError, "pad is -1"),
        error(lambda d: (_x_w(d), {"pad": (1, 2, 3)}), ArgumentError, "pad is"),
        error(lambda d: (_x_w(d), {"mask": "C"}), ArgumentError, "mask is 'C'"),
        error(lambda d: (_x_w(d), {"colors": 3}), ArgumentError, "colors is 3 with mask None"),
        error(lambda d: (_x_w(d), {"mask": "A", "colors": 4}), ArgumentError, "colors is 4 for 3 input"),
    ],
    bench=[
        (((16, 28, 28, 64), (3, 3, 64, 64)), {"pad": 1}),
        (((16, 28, 28, 128), (1, 1, 128, 64)), {}),
        (((64, 32, 32, 3), (4, 4, 3, 64)), {"stride": 2, "pad": 1}),
        (((64, 16, 16, 64), (4, 4, 64, 128)), {"stride": 2, "pad": 1}),
    ],
)
case(
    ops.conv2d,
    _causal_forward,
    name="causal",
    torch=_torch_conv,
    bench=[
        (((16, 28, 28, 1), (7, 7, 1, 64)), {"pad": 3, "mask": "A"}),
        (((16, 28, 28, 64), (3, 3, 64, 64)), {"pad": 1, "mask": "B"}),
    ],
)
case(
    ops.conv2d,
    lambda d: (_x_w(d), {"stride": d.choice(1, 2), "pad": d.choice(1, (0, 1), ((1, 0), (2, 1))), "dilation": 1}),
    name="parameter forms",
    orders=1,
)
case(
    ops.conv2d_input_grad,
    _input_grad,
    torch=_torch_input_grad,
    errors=[
        error(
            lambda d: ((d.normal(1, 3, 3, 5), d.normal(3, 3, 2, 4)), {"x_hw": 5}),
            ShapeError,
            "w has 4 output channels, g_y has 5",
        ),
        error(
            lambda d: ((d.normal(1, 3, 3, 4), d.normal(3, 3, 2, 4)), {"x_hw": 6}),
            ShapeError,
            "outputs of 4x4, g_y has 3x3",
        ),
        error(lambda d: ((d.normal(1, 3, 3, 4), d.normal(3, 3, 2, 4)), {"x_hw": (5,)}), ArgumentError, "x_hw is"),
    ],
    bench=[
        (((64, 16, 16, 64), (4, 4, 3, 64)), {"x_hw": (32, 32), "stride": 2, "pad": 1}),
        (((64, 8, 8, 128), (4, 4, 64, 128)), {"x_hw": (16, 16), "stride": 2, "pad": 1}),
    ],
)
case(ops.conv2d_input_grad, _causal_input_grad, name="causal", torch=_torch_input_grad)
case(ops.conv2d, _wide_forward, name="wide", torch=_torch_conv)
case(ops.conv2d_input_grad, _wide_input_grad, name="wide", torch=_torch_input_grad)
case(ops.conv2d_weight_grad, _wide_weight_grad, name="wide", torch=_torch_weight_grad)
case(
    ops.conv2d_weight_grad,
    _weight_grad,
    torch=_torch_weight_grad,
    errors=[
        error(
            lambda d: ((d.normal(1, 5, 5, 3), d.normal(2, 3, 3, 4)), {"k": 3}), ShapeError, "x has 1 images, g_y has 2"
        ),
        error(lambda d: ((d.normal(1, 5, 5, 3), d.normal(1, 4, 3, 4)), {"k": 3}), ShapeError, "g_y has 4x3"),
        error(lambda d: ((d.normal(1, 5, 5, 3), d.normal(1, 3, 3, 4)), {"k": 0}), ArgumentError, "k is 0"),
    ],
    bench=[
        (((16, 28, 28, 64), (16, 28, 28, 64)), {"k": 3, "pad": 1}),
        (((64, 16, 16, 64), (64, 8, 8, 128)), {"k": 4, "stride": 2, "pad": 1}),
    ],
)
case(
    ops.conv2d_weight_grad,
    _causal_weight_grad,
    name="causal",
    torch=_torch_weight_grad,
    bench=[(((16, 28, 28, 64), (16, 28, 28, 64)), {"k": 3, "pad": 1, "mask": "B"})],
)


case(
    ops.conv2d_bias,
    lambda d: _with_bias(d, False),
    torch=lambda torch, x, w, b, **how: _torch_bias_act(torch, x, w, b, activation=None, **how),
    errors=[error(lambda d: ((*_x_w(d), d.normal(3)), {}), ShapeError, "b has shape \\(3,\\), w has 4")],
)


def _torch_weight_bias_grad(torch, x, g, **how):
    return _torch_weight_grad(torch, x, g, **how), g.sum((0, 1, 2))


case(
    ops.conv2d_weight_bias_grad,
    lambda d: d.choice(_weight_grad, _causal_weight_grad)(d),
    torch=_torch_weight_bias_grad,
    orders=3,
    errors=[
        error(
            lambda d: ((d.normal(1, 5, 5, 3), d.normal(2, 3, 3, 4)), {"k": 3}), ShapeError, "x has 1 images, g_y has 2"
        ),
        error(lambda d: ((d.normal(1, 5, 5, 3), d.normal(1, 4, 3, 4)), {"k": 3}), ShapeError, "g_y has 4x3"),
    ],
    bench=[(((16, 28, 28, 64), (16, 28, 28, 64)), {"k": 3, "pad": 1, "mask": "B"})],
)
case(
    ops.conv2d_weight_bias_grad,  # more pixels, and wider, than the kernel takes at once
    lambda d: ((d.normal(1, 25, 45, d.choice(9, 1)), d.normal(1, 25, 45, 70)), {"k": (1, 1), "pad": ((0, 0), (0, 0))}),
    name="many pixels",
    orders=1,
)
case(
    ops.conv2d_bias_act,
    _smooth,
    torch=_torch_bias_act,
    errors=[
        error(lambda d: ((*_x_w(d), d.normal(3)), {}), ShapeError, "b has shape \\(3,\\), w has 4"),
        error(lambda d: ((*_x_w(d), d.normal(4)), {"activation": "sine"}), ArgumentError, "activation is 'sine'"),
    ],
    bench=[(((16, 28, 28, 64), (3, 3, 64, 64), (64,)), {"pad": 1, "mask": "B", "activation": "relu"})],
)
case(ops.conv2d_bias_act, _kinked, name="kinked", torch=_torch_bias_act)


def conv2d_then(x, w, *extras, **params):
    """The kernel on Tensors."""
    ys = kernels.conv.conv2d_then(*(a.data for a in (x, w, *extras)), **params)
    return tuple([Tensor(y) for y in (ys if isinstance(ys, tuple) else (ys,))])


def _with_steps(d):
    """Both directions, dense and causal: the kernel takes parameters in canonical form only."""
    adjoint = d.choice(False, True)
    (x, w), how = d.choice(*((_input_grad, _causal_input_grad) if adjoint else (_forward, _causal_forward)))(d)
    if adjoint:
        shape = (len(x), *how["x_hw"], w.shape[2])
    else:
        shape = (len(x), *out_hw(x.shape[1:3], w.shape[:2], how["stride"], how["pad"], how["dilation"]), w.shape[3])
    then = steps(d)
    return (x, w, *extras(d, then, shape)), {"then": then, **how}


case(conv2d_then, _with_steps, orders=0)
