"""Operators and methods of Tensor: the spellings that users of NumPy and PyTorch reach for, each one line to an op."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import kernels
from ..device import to_device
from ..errors import ArgumentError, DTypeError, shape_text
from ..kernels._devices import moved
from ..modes import touch
from ..tensor import Tensor
from . import elementwise, reduce, shape
from .elementwise import cast
from .matmul import matmul


def install() -> None:
    """Attach everything to Tensor; called once, when `tinygen.ops` is imported."""
    for name, function in {**_CONVERSIONS, **_OPERATORS, **_METHODS}.items():
        setattr(Tensor, name, function)
    Tensor.T = property(lambda x: shape.transpose(x), doc="All axes reversed.")  # type: ignore[assignment]
    Tensor.mT = property(lambda x: _swapaxes(x, -1, -2), doc="The last two axes swapped.")  # type: ignore[assignment]


# -- as a number, a list, a sequence ----------------------------------------------------------------------------------


def _item(x: Tensor) -> Any:
    """The only entry, as a Python number.  Raises ArgumentError when there are several."""
    if x.size != 1:
        raise ArgumentError(f"item: a tensor of shape {shape_text(x.shape)} is not one number. Index it first.")
    touch("a Python number")
    return x.data.item()


def _index(x: Tensor) -> int:
    if x.dtype.kind not in "iu":
        raise DTypeError(f"index: a tensor of {x.dtype} cannot be an index. Cast it with .astype('int64').")
    return int(_item(x))


def _len(x: Tensor) -> int:
    if not x.ndim:
        raise ArgumentError("len: a tensor of shape () has no length.")
    return len(x.data)


_CONVERSIONS: dict[str, Any] = {
    "item": _item,
    "tolist": lambda x: x.numpy().tolist(),
    "__float__": lambda x: float(_item(x)),
    "__int__": lambda x: int(_item(x)),
    "__bool__": lambda x: bool(_item(x)),
    "__index__": _index,
    "__len__": _len,
    "__iter__": lambda x: (shape.index(x, i) for i in range(_len(x))),
    "__dlpack__": lambda x, **options: x.data.__dlpack__(**options),
    "__dlpack_device__": lambda x: x.data.__dlpack_device__(),
}

# -- operators and methods --------------------------------------------------------------------------------------------


def _reflected(op: Any) -> Any:
    return lambda x, other: op(other, x)


def _power(x: Tensor, exponent: Any) -> Tensor:
    if isinstance(exponent, int | float):
        return elementwise.pow(x, exponent=exponent)
    return elementwise.exp(exponent * elementwise.log(x))


_OPERATORS: dict[str, Any] = {
    "__add__": lambda x, other: elementwise.add(x, other),
    "__radd__": _reflected(elementwise.add),
    "__sub__": lambda x, other: elementwise.sub(x, other),
    "__rsub__": _reflected(elementwise.sub),
    "__mul__": lambda x, other: elementwise.mul(x, other),
    "__rmul__": _reflected(elementwise.mul),
    "__truediv__": lambda x, other: elementwise.div(x, other),
    "__rtruediv__": _reflected(elementwise.div),
    "__pow__": _power,
    "__rpow__": lambda x, base: elementwise.exp(x * float(np.log(base))),
    "__matmul__": lambda a, b: matmul(a, b),
    "__rmatmul__": _reflected(matmul),
    "__neg__": lambda x: elementwise.neg(x),
    "__pos__": lambda x: x,
    "__abs__": lambda x: elementwise.abs(x),
    "__invert__": lambda x: elementwise.logical_not(x),
    "__and__": lambda x, other: elementwise.logical_and(x, other),
    "__or__": lambda x, other: elementwise.logical_or(x, other),
    "__eq__": lambda x, other: elementwise.equal(x, other),
    "__ne__": lambda x, other: elementwise.not_equal(x, other),
    "__lt__": lambda x, other: elementwise.less(x, other),
    "__le__": lambda x, other: elementwise.less_equal(x, other),
    "__gt__": lambda x, other: elementwise.greater(x, other),
    "__ge__": lambda x, other: elementwise.greater_equal(x, other),
    "__getitem__": lambda x, key: shape.index(x, key),
}


def _axes(given: tuple[Any, ...]) -> Any:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], tuple | list) else tuple(given)


def _reshape(x: Tensor, *sizes: Any) -> Tensor:
    """The same entries in another shape; one length may be -1."""
    return shape.reshape(x, shape=_axes(sizes))


def _transpose(x: Tensor, *axes: Any) -> Tensor:
    """Axes in another order; reversed without arguments."""
    return shape.transpose(x, axes=_axes(axes) if axes else None)


def _swapaxes(x: Tensor, a: int, b: int) -> Tensor:
    """Two axes exchanged."""
    order = list(range(x.ndim))
    try:
        order[a], order[b] = order[b], order[a]
    except IndexError:
        raise ArgumentError(f"swapaxes: axes {a} and {b} of a tensor with {x.ndim} axes.") from None
    return shape.transpose(x, axes=tuple(order))


def _astype(x: Tensor, dtype: Any) -> Tensor:
    """The entries as another type; itself when it has it already."""
    return x if x.dtype == np.dtype(dtype) else cast(x, dtype=np.dtype(dtype).name)


def _to(x: Tensor, target: Any) -> Tensor:
    """`x.to("cuda")` moves, `x.to("float64")` casts."""
    return to_device(x, target) if target in ("cpu", "cuda") else _astype(x, target)


def _reduction(op: Any) -> Any:
    def method(x: Tensor, axis: Any = None, keepdims: bool = False) -> Tensor:
        return op(x, axis=axis, keepdims=keepdims)

    method.__doc__ = op.__doc__
    return method


def _unary(op: Any) -> Any:
    def method(x: Tensor, **params: Any) -> Tensor:
        return op(x, **params)

    method.__doc__ = op.__doc__
    return method


def _expand_dims(x: Tensor, axis: int) -> Tensor:
    """A new axis of length one."""
    return shape.expand_dims(x, axis=axis)


def _overwrite(x: Tensor, value: Any) -> Tensor:
    """Overwrite the entries with `value` (broadcast, of any device), in place; refused as `x[...] = value` would be."""
    data = value.data if isinstance(value, Tensor) else value
    x[...] = moved(data, x.device) if hasattr(data, "dtype") else data
    return x


def _copy(x: Tensor) -> Tensor:
    """A copy of its own memory; differentiable."""
    return x * 1 if x.requires_grad else Tensor(kernels.shape.copy(x.data))


_METHODS: dict[str, Any] = {
    **{name: _reduction(getattr(reduce, name)) for name in ("sum", "mean", "max", "min", "var", "std", "logsumexp")},
    **{
        name: _unary(getattr(elementwise, name))
        for name in ("exp", "expm1", "log", "log1p", "sqrt", "abs", "sign", "sin", "cos", "tanh", "sigmoid", "relu",
                     "softplus", "floor", "isfinite")
    },
    "argmax": lambda x, axis=None: reduce.argmax(x, axis=axis),
    "softmax": lambda x, axis=-1: reduce.softmax(x, axis=axis),
    "log_softmax": lambda x, axis=-1: reduce.log_softmax(x, axis=axis),
    "pow": _power,
    "matmul": lambda a, b: matmul(a, b),
    "clip": lambda x, low=None, high=None: elementwise.clip(x, low=low, high=high),
    "reshape": _reshape,
    "view": _reshape,
    "transpose": _transpose,
    "permute": _transpose,
    "swapaxes": _swapaxes,
    "flatten": lambda x: shape.reshape(x, shape=(x.size,)),
    "ravel": lambda x: shape.reshape(x, shape=(x.size,)),
    "squeeze": lambda x, axis=None: shape.squeeze(x, axis=axis),
    "expand_dims": _expand_dims,
    "unsqueeze": _expand_dims,
    "broadcast_to": lambda x, *sizes: shape.broadcast_to(x, shape=_axes(sizes)),
    "expand": lambda x, *sizes: shape.broadcast_to(x, shape=_axes(sizes)),
    "flip": lambda x, axis: shape.flip(x, axis=axis),
    "split": lambda x, sections, axis=0: shape.split(x, sections=sections, axis=axis),
    "copy": _copy,
    "copy_": _overwrite,
    "clone": _copy,
    "astype": _astype,
    "to": _to,
    "float": lambda x: _astype(x, np.float32),
    "double": lambda x: _astype(x, np.float64),
    "long": lambda x: _astype(x, np.int64),
    "cpu": lambda x: to_device(x, "cpu"),
}  # fmt: skip
