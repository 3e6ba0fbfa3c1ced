"""Matrix products and the dense layer."""

from __future__ import annotations

from math import prod

from .. import kernels
from ..errors import ArgumentError, DTypeError, ShapeError, shape_text, shown
from ..primitive import primitive
from . import elementwise
from .reduce import sum_to
from .shape import reshape

ACTIVATIONS = kernels.matmul.ACTIVATIONS  # names, and the parameters each is used with


def _check_float(op, **arrays):
    for name, a in arrays.items():
        if a.dtype.kind != "f":
            raise DTypeError(f"{op}: {name} is {a.dtype}. Cast it with .astype('float32').")


# -- products ---------------------------------------------------------------------------------------------------------


@primitive
def matmul(a, b, *, trans_a=False, trans_b=False):
    """y = a b over the last two axes, as NumPy's matmul; leading axes broadcast.

    a (..., M, K), or (..., K, M) if trans_a; b (..., K, N), or (..., N, K) if trans_b -> y (..., M, N).  A vector (K,)
    is a row as a and a column as b, and its axis of length 1 does not appear in y.
    Raises ShapeError for lengths that differ, DTypeError for integers.
    """
    _check_float("matmul", a=a, b=b)
    for name, v, flag, given in (("a", a, "trans_a", trans_a), ("b", b, "trans_b", trans_b)):
        if v.ndim == 0 or (v.ndim == 1 and given):
            raise ShapeError(f"matmul: {name} has shape {shape_text(v.shape)} with {flag}={given}. "
                             f"Pass a matrix{'' if given else ' or a vector'}.")  # fmt: skip
    rows, columns = a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b
    inner, outer = rows.shape[-2 if trans_a else -1], columns.shape[-1 if trans_b else -2]
    if inner != outer:
        raise ShapeError(f"matmul: a has inner length {inner}, b has {outer} ({shown(('a', a), ('b', b))}, "
                         f"trans_a={trans_a}, trans_b={trans_b}). Make them equal, or transpose one.")  # fmt: skip
    for m, n in zip(rows.shape[-3::-1], columns.shape[-3::-1]):
        if m != n and 1 not in (m, n):
            raise ShapeError(f"matmul: the leading axes of {shown(('a', a), ('b', b))} do not broadcast. "
                             f"Make each pair equal, or one of it 1.")  # fmt: skip
    y = kernels.matmul.matmul(rows, columns, trans_a=trans_a, trans_b=trans_b)
    if a.ndim == 1:
        y = y[..., 0, :]
    return y[..., 0] if b.ndim == 1 else y


def _as_matrices(g, a_shape, b_shape):
    """g and the two shapes with the axes of length 1 that vectors stand for."""
    if len(b_shape) == 1:
        g, b_shape = reshape(g, shape=(*g.shape, 1)), (*b_shape, 1)
    if len(a_shape) == 1:
        g, a_shape = reshape(g, shape=(*g.shape[:-1], 1, g.shape[-1])), (1, *a_shape)
    return g, a_shape, b_shape


def _to_shape(x, matrix_shape, shape):
    """x summed over the axes that were broadcast, then without a vector's axis of length 1."""
    x = x if x.shape == matrix_shape else sum_to(x, shape=matrix_shape)
    return x if matrix_shape == shape else reshape(x, shape=shape)


def _rows(x):
    """(..., K) as (rows, K)."""
    return x if x.ndim == 2 else reshape(x, shape=(prod(x.shape[:-1]), x.shape[-1]))


def _grad_a(g, b, a_shape, b_shape, trans_a, trans_b):
    g, a_matrix, b_matrix = _as_matrices(g, a_shape, b_shape)
    b = b if b_matrix == b_shape else reshape(b, shape=b_matrix)
    if trans_a:
        return _to_shape(matmul(b, g, trans_a=trans_b, trans_b=True), a_matrix, a_shape)
    return _to_shape(matmul(g, b, trans_b=not trans_b), a_matrix, a_shape)


def _grad_b(g, a, a_shape, b_shape, trans_a, trans_b):
    g, a_matrix, b_matrix = _as_matrices(g, a_shape, b_shape)
    a = a if a_matrix == a_shape else reshape(a, shape=a_matrix)
    if len(b_matrix) == 2 and not trans_a:  # one matrix for the whole batch: one product, no sum over the batch
        a, g = _rows(a), _rows(g)
    if trans_b:
        return _to_shape(matmul(g, a, trans_a=True, trans_b=trans_a), b_matrix, b_shape)
    return _to_shape(matmul(a, g, trans_a=not trans_a), b_matrix, b_shape)


matmul.defvjp(a=_grad_a, b=_grad_b)


# -- the dense layer --------------------------------------------------------------------------------------------------

_BEFORE = {  # cotangent before the activation, from the one after it and its value y
    "relu": lambda g, y: elementwise.relu_grad(g, y.detach()),  # y only chooses
    "leaky_relu": lambda g, y, slope: elementwise.leaky_relu_grad(g, y.detach(), slope=slope),
    "tanh": elementwise.tanh_grad,
    "sigmoid": elementwise.sigmoid_grad,
    "softplus": lambda g, y: g * -elementwise.expm1(-y),  # sigmoid(z) = 1 - exp(-softplus(z))
    "elu": elementwise.elu_grad,
}


def _before_activation(g, y, activation):
    """The cotangent of z, where y = activation(z) and g is the cotangent of y.  Equal shapes."""
    return g if activation is None else _BEFORE[activation](g, y, **ACTIVATIONS[activation])


def _activate(z, activation):
    """The activation by name, with the parameters that `linear` uses."""
    return z if activation is None else getattr(elementwise, activation)(z, **ACTIVATIONS[activation])


def _check_activation(op, activation):
    if activation is not None and activation not in ACTIVATIONS:
        raise ArgumentError(f"{op}: activation is {activation!r}. Pass None or one of {', '.join(ACTIVATIONS)}.")


@primitive
def linear(x, w, b, *, activation=None):
    """y = activation(x w + b), one kernel.  x (..., I), w (I, O), b (O,) -> y (..., O).

    activation: None, "relu", "leaky_relu" (slope 0.01), "tanh", "sigmoid", "softplus" or "elu" (alpha 1).
    Raises ShapeError, DTypeError, ArgumentError.
    """
    _check_float("linear", x=x, w=w, b=b)
    _check_activation("linear", activation)
    if w.ndim != 2 or b.shape != w.shape[1:]:
        raise ShapeError(f"linear: {shown(('w', w), ('b', b))}. Pass w (I, O) and b (O,).")
    if x.ndim == 0 or x.shape[-1] != w.shape[0]:
        found = x.shape[-1] if x.ndim else "no"
        raise ShapeError(f"linear: w takes {w.shape[0]} features, x has {found} ({shown(('x', x), ('w', w))}). "
                         f"Pass x (..., {w.shape[0]}).")  # fmt: skip
    return kernels.matmul.linear(x, w, b, activation=activation)


@linear.definition
def _(x, w, b, *, activation):
    return _activate(matmul(x, w) + b, activation)


@primitive(outs=("g_w", "g_b"))
def linear_weight_grad(x, g_y):
    """The gradients of a dense layer's w and b in one kernel: x^T g_y, and the sums of g_y's columns.

    x (M, I), g_y (M, O) -> (I, O), (O,).  Raises ShapeError, DTypeError.
    """
    _check_float("linear_weight_grad", x=x, g_y=g_y)
    if x.ndim != 2 or g_y.ndim != 2 or len(x) != len(g_y):
        raise ShapeError(f"linear_weight_grad: {shown(('x', x), ('g_y', g_y))}. Pass x (M, I) and g_y (M, O).")
    return kernels.matmul.linear_weight_grad(x, g_y)


linear.share(g_z=_before_activation)
linear.share(g_wb=lambda g_z, x: linear_weight_grad(_rows(x), _rows(g_z)))
linear.defvjp(
    x=lambda g_z, w: matmul(g_z, w, trans_b=True),
    w=lambda g_wb: g_wb[0],
    b=lambda g_wb: g_wb[1],
)
linear_weight_grad.defvjp(
    x=lambda g_g_w, g_y: matmul(g_y, g_g_w, trans_b=True),
    g_y=lambda g_g_w, g_g_b, x: linear(x, g_g_w, g_g_b, activation=None),
)
