"""Cases of the reductions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import ops
from ...errors import ArgumentError, DTypeError, ShapeError
from ..registry import case, error

BENCH: list[Any] = [
    (((128, 500),), {"axis": None}),
    (((128, 784),), {"axis": 1}),
    (((128, 784),), {"axis": 0}),
    (((16, 28, 28, 64),), {"axis": (0, 1, 2)}),
]
BENCH_ROWS: list[Any] = [(((128, 10),), {"axis": -1}), (((12544, 256),), {"axis": -1})]


# A shape and axes of it: every pattern of blocks, short and long rows, more than one chunk of work, and several parts.
LAYOUTS: list[Any] = [
    ((2, 3, 4), None), ((2, 3, 4), 1), ((2, 3, 4), (0, 2)), ((2, 3, 4), (-1, 0)), ((), None), ((3, 2), ()),
    ((2, 2, 3, 2, 2), (1, 3)), ((1, 3, 1), (0, 1)), ((40, 500), 0), ((40, 500), 1), ((20000,), 0), ((6, 3000), 0),
    ((8000, 3), 0), ((3, 60, 2, 60), (1, 3)), ((70000,), 0), ((25000, 3), 0), ((2, 40000), 1),
]  # fmt: skip


def _layout(d, smallest=0):
    """One of LAYOUTS, or a small shape with rows or columns of any length."""
    shape, axis = d.choice(
        *LAYOUTS[:6],
        ((d.size(max(1, smallest), 3), d.size(smallest, 70)), -1),
        ((d.size(smallest, 70), d.size(1, 3)), 0),
        *LAYOUTS[6:],
    )
    return shape, {"axis": axis, "keepdims": d.choice(False, True)}


def _of(kind, smallest=0):
    def sample(d):
        shape, params = _layout(d, smallest)
        return (getattr(d, kind)(*shape),), params

    return sample


def _refuse(x, **params):
    return lambda d: ((x,), params)


def _dims(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


_AXES = [
    error(_refuse(np.ones((2, 3)), axis=2), ArgumentError, "axis is 2, x has 2 axes. Axes run from -2 to 1"),
    error(_refuse(np.ones((2, 3)), axis=(0, -2)), ArgumentError, "names an axis twice"),
    error(_refuse(np.ones((2, 3)), axis=1.0), ArgumentError, "axis is 1.0. Pass an int"),
    error(_refuse(np.arange(3)), DTypeError, "x is int64. Cast it"),
]
_EMPTY = error(_refuse(np.ones((0, 3)), axis=0), ArgumentError, r"x \(0,3\) has no entries along axes \(0,\)")

case(
    ops.sum,
    _of("normal"),
    torch=lambda torch, x, axis, keepdims: x.sum(_dims(x, axis), keepdims) if axis != () else x.clone(),
    errors=_AXES,
    bench=BENCH,
)
case(
    ops.mean,
    _of("normal", smallest=1),
    torch=lambda torch, x, axis, keepdims: x.mean(_dims(x, axis), keepdims) if axis != () else x.clone(),
    errors=[*_AXES, _EMPTY],
    bench=BENCH,
)
for _op, _name in ((ops.max, "amax"), (ops.min, "amin")):
    case(
        _op,
        _of("distinct", smallest=1),
        torch=lambda torch, x, axis, keepdims, name=_name: (
            getattr(torch, name)(x, _dims(x, axis), keepdims) if axis != () and x.ndim else x.clone()
        ),
        errors=[*_AXES, _EMPTY],
        bench=BENCH,
    )
    case(
        _op,
        lambda d: ((np.array([[1.0, 3.0, 3.0], [math.nan, 0.0, math.nan], [-math.inf, math.inf, 0.0]]),), {"axis": 1}),
        name="ties and NaN",
        torch=lambda torch, x, axis, name=_name: getattr(torch, name)(x, axis),
        orders=0,
    )

case(
    ops.argmax,
    lambda d: ((d.distinct(*d.choice((3, 4), (2, 3, 4), (d.size(1, 40), 3))),), {"axis": d.choice(-1, 0, 1, None)}),
    torch=lambda torch, x, axis: x.argmax(axis),
    orders=0,
    errors=[error(_refuse(np.ones((0, 3)), axis=None), ArgumentError, "no entries"), *_AXES[:1]],
    bench=BENCH_ROWS,
)
case(
    ops.argmax,
    lambda d: ((np.array([[1.0, 3.0, 3.0], [0.0, math.nan, math.nan]]),), {"axis": 1}),
    name="the first of ties and of NaNs",
    torch=lambda torch, x, axis: x.argmax(axis),
    orders=0,
)


def _torch_logsumexp(torch, x, axis, keepdims=False):
    return torch.logsumexp(x, _dims(x, axis), keepdims) if axis != () and x.ndim else x.clone()


case(ops.logsumexp, _of("normal", smallest=1), torch=_torch_logsumexp, errors=_AXES, bench=[*BENCH[:2], *BENCH_ROWS])
case(
    ops.logsumexp,
    lambda d: (
        (np.array([[1e3, 999.0], [-1e3, -math.inf], [-math.inf, -math.inf], [math.nan, math.inf]]),),
        {"axis": 1},
    ),
    name="infinities",
    torch=_torch_logsumexp,
    orders=0,
)
case(
    ops.logsumexp,
    lambda d: ((np.zeros((3, 0)),), {"axis": 1}),
    name="empty",
    torch=_torch_logsumexp,
    orders=0,
)

for _op, _name in ((ops.softmax, "softmax"), (ops.log_softmax, "log_softmax")):
    case(
        _op,
        lambda d: (
            (d.normal(*d.choice((2, 3, 4), (3, d.size(1, 70)), (d.size(0, 4), 2, 2), (60, 300))) * 3,),
            {"axis": d.choice(-1, 0, 1)},
        ),
        torch=lambda torch, x, axis, name=_name: getattr(torch, name)(x, axis),
        errors=[
            *_AXES[:1],
            error(_refuse(np.ones(())), ArgumentError, "A scalar has no axes"),
            error(_refuse(np.arange(3)), DTypeError, "x is int64"),
        ],
        bench=BENCH_ROWS,
    )
    case(
        _op,
        lambda d: ((np.array([[1000.0, 0.0, -1000.0], [-math.inf, 1.0, 2.0], [math.nan, 0.0, 1.0]]),), {"axis": 1}),
        name="tails",
        torch=lambda torch, x, axis, name=_name: getattr(torch, name)(x, axis),
        orders=0,
    )


def _sum_to(d):
    large, small = d.choice(
        ((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 3), ()), ((2, 3), (2, 3)), ((2, 2, 3), (1, 2, 1)), ((0, 3), (3,))
    )
    return (d.normal(*large),), {"shape": small}


case(
    ops.sum_to,
    _sum_to,
    torch=lambda torch, x, shape: x.sum_to_size(shape),
    errors=[error(_refuse(np.ones((2, 3)), shape=(2,)), ShapeError, r"sum_to: \(2,\) does not broadcast to \(2,3\)")],
    bench=[(((128, 500),), {"shape": (500,)}), (((16, 28, 28, 64),), {"shape": (64,)})],
)


def _moment(kind):
    """A shape with at least two entries to reduce, and a correction."""

    def sample(d):
        shape, axis = d.choice(((3, 4), None), ((3, 4), 0), ((2, 3, 4), (0, 2)), ((5, d.size(2, 40)), -1))
        return (d.normal(*shape),), {"axis": axis, "keepdims": d.choice(False, True), "correction": d.choice(0, 1)}

    return sample


_FEW = error(_refuse(np.ones((1, 3)), axis=0, correction=1), ArgumentError, "1 entries are too few for correction=1")
_BENCH_MOMENTS: list[Any] = [
    (((128, 784),), {"axis": 0, "keepdims": False, "correction": 1}),
    (((64, 16, 16, 128),), {"axis": (0, 1, 2), "keepdims": False, "correction": 0}),
]

case(
    ops.var,
    _moment("normal"),
    torch=lambda torch, x, axis, keepdims, correction: x.var(axis, correction=correction, keepdim=keepdims),
    errors=[_EMPTY, _FEW],
    bench=_BENCH_MOMENTS,
)
case(
    ops.std,
    _moment("normal"),
    torch=lambda torch, x, axis, keepdims, correction: x.std(axis, correction=correction, keepdim=keepdims),
    errors=[_FEW],
    bench=_BENCH_MOMENTS,
)
