"""Cases of matrix products and the dense layer."""

from __future__ import annotations

from ... import kernels
from ...errors import ArgumentError, DTypeError, ShapeError
from ...ops.matmul import linear, linear_weight_grad, matmul
from ...tensor import Tensor
from ..registry import case, error


def _matrices(d):
    m, k, n = d.size(0, 17), d.size(0, 20), d.size(0, 35)
    trans_a, trans_b = d.choice(False, True), d.choice(False, True)
    a, b = d.choice(((), ()), ((3,), (3,)), ((2, 1), (3,)), ((4,), ()), ((), (2,)), ((0,), (1,)))
    inputs = d.normal(*a, *((k, m) if trans_a else (m, k))), d.normal(*b, *((n, k) if trans_b else (k, n)))
    return inputs, {"trans_a": trans_a, "trans_b": trans_b}


def _vectors(d):
    k, n = d.size(1, 20), d.size(1, 9)
    lead, trans_b = d.choice((), (2,)), d.choice(False, True)
    a, b = d.choice(
        (d.normal(k), d.normal(k)),
        (d.normal(*lead, n, k), d.normal(k)),
        (d.normal(k), d.normal(*lead, *((n, k) if trans_b else (k, n)))),
    )
    return (a, b), {"trans_b": trans_b and b.ndim > 1}


def _torch_matmul(torch, a, b, *, trans_a=False, trans_b=False):
    return torch.matmul(a.transpose(-1, -2) if trans_a else a, b.transpose(-1, -2) if trans_b else b)


case(
    matmul,
    _matrices,
    torch=_torch_matmul,
    errors=[
        error(lambda d: ((d.normal(2, 3), d.normal(4, 5)), {}), ShapeError, "a has inner length 3, b has 4"),
        error(lambda d: ((d.normal(2, 3), d.normal(3, 5)), {"trans_b": True}), ShapeError, "inner length 3, b has 5"),
        error(lambda d: ((d.normal(2, 4, 3), d.normal(3, 3, 5)), {}), ShapeError, "leading axes"),
        error(lambda d: ((d.normal(), d.normal(3)), {}), ShapeError, "a has shape"),
        error(lambda d: ((d.normal(3), d.normal(3)), {"trans_b": True}), ShapeError, "b has shape"),
        error(lambda d: ((d.integers(2, 3, high=5), d.integers(3, 2, high=5)), {}), DTypeError, "a is int64"),
    ],
    bench=[
        (((128, 784), (784, 500)), {}),
        (((128, 500), (500, 20)), {}),
        (((128, 20), (20, 500)), {}),
        (((128, 500), (500, 784)), {}),
        (((128, 500), (784, 500)), {"trans_b": True}),
        (((128, 784), (128, 500)), {"trans_a": True}),
        (((256, 128), (128, 128)), {}),
    ],
)

case(matmul, _vectors, name="vectors", torch=_torch_matmul)


def _deep(d):
    """Longer than one block of the kernel's sum over k."""
    k = 1024 + d.size(-1, 40)
    return (d.normal(d.size(1, 3), k), d.normal(k, d.size(1, 3))), {}


case(matmul, _deep, name="deep", torch=_torch_matmul, tolerance=10.0)


def _dense(d):
    lead = d.choice((d.size(0, 17),), (), (2, 3))
    i, o = d.size(0, 20), d.size(0, 40)
    activation = d.choice(None, "tanh", "sigmoid", "softplus")
    return (d.normal(*lead, i), d.normal(i, o), d.normal(o)), {"activation": activation}


def _kinked(d):
    """The bias decides the sign before the activation, at a distance from the kink at 0."""
    n, i, o = d.size(0, 17), d.size(0, 20), d.size(0, 40)
    x, w = d.uniform(n, i, low=-1.0), d.uniform(i, o, low=-0.05, high=0.05) / max(i, 1)
    return (x, w, d.away(o)), {"activation": d.choice("relu", "leaky_relu", "elu")}


def _torch_linear(torch, x, w, b, *, activation):
    z = torch.matmul(x, w) + b
    return z if activation is None else getattr(torch.nn.functional, activation)(z)


case(
    linear,
    _dense,
    torch=_torch_linear,
    errors=[
        error(lambda d: ((d.normal(2, 3), d.normal(4, 5), d.normal(5)), {}), ShapeError, "w takes 4 features, x has 3"),
        error(lambda d: ((d.normal(2, 4), d.normal(4, 5), d.normal(4)), {}), ShapeError, "b \\(4,\\)"),
        error(lambda d: ((d.normal(2, 4), d.normal(4, 5), d.normal(5)), {"activation": "sine"}), ArgumentError, "sine"),
        error(lambda d: ((d.integers(2, 4, high=3), d.normal(4, 5), d.normal(5)), {}), DTypeError, "x is int64"),
    ],
    bench=[
        (((128, 784), (784, 500), (500,)), {"activation": "relu"}),
        (((128, 500), (500, 784), (784,)), {}),
        (((256, 64), (64, 128), (128,)), {"activation": "tanh"}),
    ],
)

case(linear, _kinked, name="kinked", torch=_torch_linear)


def _gradients(d):
    m, i, o = d.choice(d.size(0, 17), 1024 + d.size(0, 9)), d.size(0, 20), d.choice(1, d.size(0, 40))
    return (d.normal(m, i), d.normal(m, o)), {}


case(
    linear_weight_grad,
    _gradients,
    torch=lambda torch, x, g: (x.T @ g, g.sum(0)),
    orders=3,
    tolerance=10.0,
    errors=[
        error(lambda d: ((d.normal(2, 3), d.normal(4, 5)), {}), ShapeError, "Pass x \\(M, I\\)"),
        error(lambda d: ((d.normal(3), d.normal(3, 5)), {}), ShapeError, "Pass x \\(M, I\\)"),
        error(lambda d: ((d.integers(2, 3, high=4), d.normal(2, 5)), {}), DTypeError, "x is int64"),
    ],
    bench=[(((128, 784), (128, 500)), {}), (((256, 128), (256, 128)), {})],
)


# -- with steps in the epilogue: no op, but what a recorded step launches ----------------------------------------------


def steps(d):
    """A valid `then`: any of the steps, in order."""
    return tuple(
        step
        for stage in (
            ("bias",),
            ("relu", ("leaky_relu", 0.2)),
            ("relu_grad", ("leaky_relu_grad", 0.3)),
            ("add",),
            (("also", "relu"), ("also", ("leaky_relu", 0.1))),
        )
        if (step := d.choice(*stage, None)) is not None
    )


def extras(d, then, shape):
    """The arrays that these steps take, for an output of this shape."""
    whole = "relu_grad", ("leaky_relu_grad", 0.3), "add"
    return [d.normal(*shape[-1:]) if step == "bias" else d.normal(*shape) for step in then if step in ("bias", *whole)]


def matmul_then(a, b, *extras, **params):
    """The kernel on Tensors."""
    ys = kernels.matmul.matmul_then(*(x.data for x in (a, b, *extras)), **params)
    return tuple([Tensor(y) for y in (ys if isinstance(ys, tuple) else (ys,))])


def _followed(d, m, n):
    k, trans_a, trans_b, then = d.choice(d.size(0, 20), 1100), d.choice(False, True), d.choice(False, True), steps(d)
    inputs = d.normal(*((k, m) if trans_a else (m, k))), d.normal(*((n, k) if trans_b else (k, n)))
    return (*inputs, *extras(d, then, (m, n))), {"then": then, "trans_a": trans_a, "trans_b": trans_b}


def _with_steps(d):
    return _followed(d, d.size(0, 17), d.size(0, 70))


case(matmul_then, _with_steps, orders=0, tolerance=10.0)


def _thin(d):
    """One row or one column, of more than one panel."""
    return _followed(d, *d.choice((1, d.size(1, 70)), (d.size(1, 70), 1)))


case(matmul_then, _thin, name="thin", orders=0, tolerance=10.0)
