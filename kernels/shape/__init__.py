"""Moving entries without computing: copies, joins, paddings, and reading and adding at indices.

Each is one read and one write of every entry.  Reshapes, transposes and slices are views and need no kernel.
"""

from __future__ import annotations

from typing import Any

from .._kernel import Spec, kernel, like

Array = Any
Index = tuple[Any, ...]  # of ints, slices, None and at most one Ellipsis: NumPy's basic indexing


@kernel("y", strided=True)
def copy(x: Array) -> Spec:
    """The same entries in C order.  x any shape, any strides -> y the same shape."""
    return like(x)


@kernel("y", strided=True)
def broadcast_to(x: Array, *, shape: tuple[int, ...]) -> Spec:
    """Repeat along new leading axes and axes of length 1.  -> y of `shape`."""
    return Spec(shape, x.dtype)


@kernel("y", strided=True)
def concat(*xs: Array, axis: int) -> Spec:
    """Join along an existing axis >= 0.  xs equal in every other axis."""
    shape = list(xs[0].shape)
    shape[axis] = sum(x.shape[axis] for x in xs)
    return Spec(tuple(shape), xs[0].dtype)


@kernel("y", strided=True)
def pad(x: Array, *, widths: tuple[tuple[int, int], ...], value: float = 0.0) -> Spec:
    """Surround with a constant: widths holds (before, after) for each axis."""
    return Spec(tuple(before + n + after for n, (before, after) in zip(x.shape, widths)), x.dtype)


@kernel("g_x", strided=True)
def getitem_grad(g_y: Array, *, index: Index, shape: tuple[int, ...]) -> Spec:
    """Zeros of `shape` with g_y at the slice `index`: the adjoint of x[index]."""
    return Spec(shape, g_y.dtype)


@kernel("y")
def gather(x: Array, index: Array, *, axis: int) -> Spec:
    """Take whole slices along an axis >= 0.  x (..., A, ...), index int64 in [-A, A) -> y (..., *index.shape, ...)."""
    return Spec((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), x.dtype)


@kernel("g_x")
def scatter_add(g_y: Array, index: Array, *, axis: int, size: int) -> Spec:
    """The adjoint of gather: add slices of g_y into zeros, repeated indices in the order of `index` (C order).

    g_y (..., *index.shape, ...), index int64 in [-size, size) -> g_x (..., size, ...).
    """
    return Spec((*g_y.shape[:axis], size, *g_y.shape[axis + index.ndim :]), g_y.dtype)
