"""Cases of the elementwise ops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ops
from ...errors import ArgumentError, DTypeError, ShapeError
from ..registry import case, error

PAIRS = (  # shapes that broadcast: equal, with a scalar, along rows and columns, images with channels, and more
    ((3, 4), (3, 4)), ((2, 3), ()), ((), ()), ((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 2, 2, 3), (3,)),
    ((2, 2, 2, 3), (1, 2, 2, 1)), ((2, 1), (1, 3)), ((0, 3), (3,)), ((2, 1, 2, 1, 2), (1, 2, 1, 2, 1)),
)  # fmt: skip
LARGE = (((150, 120), (150, 120)), ((150, 120), (120,)), ((150, 120), (150, 1)), ((3, 80, 70), (80, 1)))  # > one chunk
BENCH: list[Any] = [(((16, 28, 28, 64),), {}), (((128, 500),), {})]
BENCH_PAIRS: list[Any] = [
    (((16, 28, 28, 64), (16, 28, 28, 64)), {}),
    (((16, 28, 28, 64), (64,)), {}),
    (((128, 500), (128, 1)), {}),
]


def _refuse(*arrays, **params):
    return lambda d: (arrays, params)


INTEGERS = np.arange(3)
FLOATS = np.ones(3)


def _shape(d):
    return d.choice((3, 4), (), (d.size(0, 5),), (d.size(1, 3), 2, d.size(1, 9)), (130, 140))


def _any(d, kind, **params):
    return (getattr(d, kind)(*_shape(d)),), params


def _pair(d, kind, **params):
    a, b = d.choice(*PAIRS, *LARGE)
    if d.choice(False, True):
        a, b = b, a
    return (getattr(d, kind)(*a), getattr(d, kind)(*b)), params


def _integers(dtype):
    return lambda d: (((d.integers(3, 4, high=9) - 4).astype(dtype), d.integers(4, high=9).astype(dtype)), {})


def _of(kind):
    return lambda d: _any(d, kind)


def _apart(d):
    """Two arrays whose entries never meet, and equal ones if asked for."""
    (a, b), _ = _pair(d, "normal")
    return (a, np.where(np.abs(b) < 0.1, 0.5, b) + np.sign(b) * 4), {}


# -- arithmetic -------------------------------------------------------------------------------------------------------

for _op, _torch in (
    (ops.add, lambda torch, a, b: a + b),
    (ops.sub, lambda torch, a, b: a - b),
    (ops.mul, lambda torch, a, b: a * b),
):
    case(
        _op,
        lambda d: _pair(d, "normal"),
        torch=_torch,
        errors=[
            error(_refuse(np.ones((2, 3)), np.ones((2, 2))), ShapeError, r"a \(2,3\), b \(2,2\) do not broadcast"),
            error(_refuse(FLOATS, FLOATS.astype(np.float32)), DTypeError, "mixed"),
            error(_refuse(INTEGERS, FLOATS), DTypeError, "a is int64, b is float64"),
            error(_refuse(INTEGERS > 0, INTEGERS > 0), DTypeError, "the operands are bool"),
        ],
        bench=BENCH_PAIRS,
    )
    for _integer in (np.int32, np.int64):
        case(
            _op,
            _integers(_integer),
            name=np.dtype(_integer).name,
            torch=_torch,
            orders=0,
        )

case(
    ops.div,
    lambda d: _pair(d, "positive"),
    torch=lambda torch, a, b: a / b,
    errors=[error(_refuse(INTEGERS, INTEGERS), DTypeError, "the operands are int64")],
    bench=BENCH_PAIRS,
)
case(
    ops.neg,
    lambda d: _any(d, "normal"),
    torch=lambda torch, x: -x,
    errors=[error(_refuse(INTEGERS > 0), DTypeError, "x is bool")],
)
case(ops.neg, lambda d: ((d.integers(5, high=9),), {}), name="int64", torch=lambda torch, x: -x, orders=0)
case(ops.abs, lambda d: _any(d, "away"), torch=lambda torch, x: x.abs())
case(ops.abs, lambda d: ((np.zeros(3),), {}), name="zero", torch=lambda torch, x: x.abs(), orders=0)
case(ops.sign, lambda d: _any(d, "away"), torch=lambda torch, x: x.sign(), orders=0)
case(ops.floor, lambda d: _any(d, "normal"), torch=lambda torch, x: x.floor(), orders=0)

for _op, _torch in (
    (ops.maximum, lambda torch, a, b: torch.maximum(a, b)),
    (ops.minimum, lambda torch, a, b: torch.minimum(a, b)),
):
    case(_op, _apart, torch=_torch, bench=BENCH_PAIRS)
    case(
        _op,
        lambda d: ((np.array([1.0, 2.0, math.nan, 0.0, -math.inf]), np.array([1.0, math.nan, 3.0, -0.0, -1.0])), {}),
        name="ties and NaN",
        torch=_torch,
        orders=0,
    )
case(
    ops.precedence,
    lambda d: ((np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])), {}),
    torch=lambda torch, a, b: torch.heaviside(a - b, torch.tensor(0.5, dtype=a.dtype)),
    orders=0,
)

_CLIP = [
    error(_refuse(FLOATS, low=1.0, high=0.0), ArgumentError, "low is 1.0, high is 0.0"),
    error(_refuse(INTEGERS, low=0.0), DTypeError, "x is int64"),
]


def _bounds(d):
    return d.choice({"low": -0.5, "high": 0.5}, {"low": -0.5}, {"high": 0.5}, {})


case(
    ops.clip,
    lambda d: ((d.away(*_shape(d), kinks=(-0.5, 0.5)),), _bounds(d)),
    torch=lambda torch, x, low=None, high=None: x.clamp(low, high) if (low, high) != (None, None) else x.clone(),
    errors=_CLIP,
    bench=[(((16, 28, 28, 64),), {"low": 0.0})],
)
case(
    ops.clip,
    lambda d: ((np.array([-0.5, 0.5, 2.0]),), {"low": -0.5, "high": 0.5}),
    name="at the ends",
    torch=lambda torch, x, low, high: x.clamp(low, high),
    orders=0,
)


def _gradient(kind, **params):
    """A cotangent and the array that its op looks at."""

    def sample(d):
        shape = _shape(d)
        return (d.normal(*shape), getattr(d, kind)(*shape)), params

    return sample


_SHAPES_DIFFER = error(_refuse(np.ones(3), np.ones(4)), ShapeError, "the shapes differ")

case(
    ops.clip_grad,
    lambda d: ((d.normal(3, 5), d.away(3, 5, kinks=(-0.5, 0.5))), _bounds(d)),
    torch=lambda torch, g, x, low=-math.inf, high=math.inf: g * ((x >= low) & (x <= high)),
    errors=[error(_refuse(FLOATS, FLOATS, low=1.0, high=0.0), ArgumentError, "low is 1.0"), _SHAPES_DIFFER],
)


def _where(d):
    c, a, b = d.choice(
        ((2, 3), (2, 3), (2, 3)), ((2, 3), (2, 3), ()), ((2, 3), (), (2, 3)), ((3,), (2, 3), (2, 1)), ((2, 1), (), ()),
        ((), (3,), (2, 3)), ((0, 3), (3,), ()), ((2, 1, 2, 1, 2), (1, 2, 1, 2, 1), ()), ((130, 140), (130, 140), ()),
        ((130, 140), (140,), (130, 1)),
    )  # fmt: skip
    return (d.bools(*c), d.normal(*a), d.normal(*b)), {}


case(
    ops.where,
    _where,
    torch=lambda torch, cond, a, b: torch.where(cond, a, b),
    errors=[
        error(_refuse(FLOATS, FLOATS, FLOATS), DTypeError, "cond is float64"),
        error(_refuse(FLOATS > 0, FLOATS, INTEGERS), DTypeError, "a is float64, b is int64"),
        error(_refuse(np.ones(2) > 0, FLOATS, FLOATS), ShapeError, r"cond \(2,\), a \(3,\), b \(3,\) do not broadcast"),
    ],
    bench=[(((128, 500), (128, 500), (128, 500)), {})],
)
case(
    ops.where,
    lambda d: ((d.bools(2, 3), d.integers(2, 3, high=9), d.integers(3, high=9)), {}),
    name="int64",
    torch=lambda torch, cond, a, b: torch.where(cond, a, b),
    orders=0,
)


def _cast_to(torch, x, dtype):
    return x.to(getattr(torch, dtype))


case(
    ops.cast,
    lambda d: ((d.normal(3, d.size(0, 4)),), {"dtype": "float64"}),
    torch=_cast_to,
    errors=[
        error(_refuse(FLOATS, dtype="float16"), DTypeError, "dtype is 'float16'"),
        error(_refuse(FLOATS, dtype="none such"), DTypeError, "Pass one of bool, uint8"),
    ],
)
case(
    ops.cast,
    lambda d: ((d.normal(7) * 3,), {"dtype": d.choice("bool", "int32", "int64", "float32")}),
    name="narrowing",
    torch=_cast_to,
    orders=0,
)
case(
    ops.cast,
    lambda d: ((d.integers(7, high=200),), {"dtype": d.choice("uint8", "bool", "int32", "float32", "float64")}),
    name="from integers",
    torch=_cast_to,
    orders=0,
)

# -- comparisons ------------------------------------------------------------------------------------------------------

for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    _op = getattr(ops, _name)
    _spelled = {"equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt"}.get(_name, "ge")
    case(
        _op,
        lambda d: (tuple(np.round(a, 0) for a in _pair(d, "normal")[0]), {}),
        torch=lambda torch, a, b, name=_spelled: getattr(torch, name)(a, b),
        orders=0,
        errors=[
            error(_refuse(INTEGERS, FLOATS), DTypeError, "a is int64, b is float64"),
            error(_refuse(np.ones((2, 3)), np.ones((2, 2))), ShapeError, "do not broadcast"),
        ],
    )
    case(
        _op,
        lambda d: ((d.integers(3, 4, high=3), d.integers(3, 1, high=3)), {}),
        name="int64",
        torch=lambda torch, a, b, name=_spelled: getattr(torch, name)(a, b),
        orders=0,
    )

case(
    ops.isfinite,
    lambda d: ((np.array([0.0, math.inf, -math.inf, math.nan, 1e30]),), {}),
    torch=lambda torch, x: torch.isfinite(x),
    orders=0,
    errors=[error(_refuse(INTEGERS), DTypeError, "x is int64")],
)
case(
    ops.logical_not,
    lambda d: ((d.bools(3, d.size(0, 4)),), {}),
    torch=lambda torch, x: ~x,
    orders=0,
    errors=[error(_refuse(FLOATS), DTypeError, "x is float64")],
)
for _op, _torch in (
    (ops.logical_and, lambda torch, a, b: a & b),
    (ops.logical_or, lambda torch, a, b: a | b),
):
    case(
        _op,
        lambda d: _pair(d, "bools"),
        torch=_torch,
        orders=0,
        errors=[error(_refuse(INTEGERS, INTEGERS), DTypeError, "the operands are int64")],
    )

# -- functions --------------------------------------------------------------------------------------------------------

_NOT_FLOAT = [error(_refuse(INTEGERS), DTypeError, "x is int64. Cast it")]
TAILS = np.array([0.0, -0.0, 1e-8, -1e-8, 0.3, -0.7, 30.0, -30.0, 800.0, -800.0, math.inf, -math.inf, math.nan])

for _name, _kind in (
    ("exp", "normal"), ("expm1", "normal"), ("log", "positive"), ("log1p", "positive"), ("sqrt", "positive"),
    ("sin", "normal"), ("cos", "normal"), ("tanh", "normal"), ("sigmoid", "normal"), ("softplus", "normal"),
    ("log_sigmoid", "normal"), ("relu", "away"), ("gelu", "normal"),
):  # fmt: skip
    _op = getattr(ops, _name)

    def _torch(torch, x, name=_name):
        functional = torch.nn.functional
        named = {"softplus": functional.softplus, "log_sigmoid": functional.logsigmoid, "gelu": functional.gelu}
        return named[name](x) if name in named else getattr(torch, name)(x)

    case(_op, _of(_kind), torch=_torch, orders=3, errors=_NOT_FLOAT, bench=BENCH)
    if _name not in ("sin", "cos", "softplus", "gelu"):  # PyTorch's softplus is linear above 20, gelu NaN at -inf
        case(_op, lambda d: ((TAILS.copy(),), {}), name="tails", torch=_torch, orders=0)

case(
    ops.softplus,
    lambda d: ((TAILS.copy(),), {}),
    name="tails",
    torch=lambda torch, x: torch.logaddexp(x, torch.zeros_like(x)),
    orders=0,
)

case(
    ops.pow,
    lambda d: ((d.positive(*_shape(d)),), {"exponent": d.choice(2.0, 3.0, 0.5, -1.0, -2.5, 1.0, 0.0)}),
    torch=lambda torch, x, exponent: x**exponent,
    orders=3,
    errors=[error(_refuse(INTEGERS, exponent=2.0), DTypeError, "x is int64")],
    bench=[(((16, 28, 28, 64),), {"exponent": 2.0})],
)
case(
    ops.pow,
    lambda d: ((np.array([0.0, -1.5, 2.0]),), {"exponent": d.choice(2.0, 1.0, 3.0, 0.0)}),
    name="at and below 0",
    torch=lambda torch, x, exponent: x**exponent,
)

# -- activations with parameters, and gradients -----------------------------------------------------------------------

case(
    ops.leaky_relu,
    lambda d: _any(d, "away", slope=d.choice(0.01, 0.0, 0.3)),
    torch=lambda torch, x, slope: torch.nn.functional.leaky_relu(x, slope),
    errors=[error(_refuse(FLOATS, slope=-0.1), ArgumentError, "slope is -0.1")],
    bench=BENCH,
)
case(
    ops.elu,
    lambda d: _any(d, "away", alpha=d.choice(1.0, 0.5)),
    torch=lambda torch, x, alpha: torch.nn.functional.elu(x, alpha),
    errors=[error(_refuse(FLOATS, alpha=-1.0), ArgumentError, "alpha is -1.0")],
    bench=BENCH,
)
case(
    ops.leaky_relu_grad,
    _gradient("away", slope=0.2),
    torch=lambda torch, g, y, slope: torch.where(y > 0, g, slope * g),
    errors=[error(_refuse(FLOATS, FLOATS, slope=-0.1), ArgumentError, "slope is -0.1"), _SHAPES_DIFFER],
)
case(
    ops.elu_grad,
    _gradient("away", alpha=0.5),
    torch=lambda torch, g, y, alpha: torch.where(y > 0, g, g * (y + alpha)),
    errors=[error(_refuse(FLOATS, FLOATS, alpha=-1.0), ArgumentError, "alpha is -1.0"), _SHAPES_DIFFER],
)


def _torch_gelu_grad(torch, g, x):
    return g * (torch.special.ndtr(x) + x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi))


for _op, _kind, _torch in (
    (ops.relu_grad, "away", lambda torch, g, y: g * (y > 0)),
    (ops.tanh_grad, "normal", lambda torch, g, y: g * (1 - y * y)),
    (ops.sigmoid_grad, "normal", lambda torch, g, y: g * y * (1 - y)),
    (ops.softplus_grad, "normal", lambda torch, g, x: g * torch.sigmoid(x)),
    (ops.gelu_grad, "normal", _torch_gelu_grad),
):
    case(
        _op,
        _gradient(_kind),
        torch=_torch,
        errors=[_SHAPES_DIFFER],
        bench=[(((16, 28, 28, 64), (16, 28, 28, 64)), {})],
    )
