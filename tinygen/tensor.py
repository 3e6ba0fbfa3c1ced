"""Tensor: an array and the place in the graph where it was made.

Operators, conversions and NumPy-like methods are attached by `ops/methods.py`; here is only what a tensor is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._arithmetic import Arithmetic
from .errors import InPlaceError
from .kernels._devices import device_of, to_numpy
from .modes import recording, touch

if TYPE_CHECKING:
    from .autograd import Node

Array = Any  # numpy.ndarray; of a GPU, see `kernels._devices`


class Version:
    """How often a buffer was changed in place; shared by all tensors that view it."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Tensor(Arithmetic):
    """An array `data`, output number `out` of graph node `node` (None for a constant)."""

    __slots__ = ("__weakref__", "data", "grad", "node", "out", "version")
    __array_ufunc__ = None  # array * tensor defers to the tensor; np.exp(tensor) refuses instead of losing the graph

    def __init__(self, data: Array, node: Node | None = None, out: int = 0, version: Version | None = None):
        self.data = data
        self.node = node
        self.out = out
        self.version = version or Version()
        self.grad: Tensor | None = None  # filled by backward() on leaves

    shape = property(lambda self: self.data.shape, doc="Lengths of the axes, a tuple of ints.")
    dtype = property(lambda self: self.data.dtype, doc="Element type, a numpy.dtype.")
    ndim = property(lambda self: self.data.ndim, doc="Number of axes.")
    size = property(lambda self: self.data.size, doc="Number of entries.")
    requires_grad = property(lambda self: self.node is not None, doc="Whether gradients reach this tensor.")
    is_leaf = property(lambda self: self.node is None or self.node.primitive is None, doc="Not made by an op.")
    device = property(lambda self: device_of(self.data), doc='Where the entries live: "cpu" or "cuda".')

    # -- to other worlds ----------------------------------------------------------------------------------------------

    def numpy(self) -> np.ndarray:
        """A read-only NumPy view of the data, or a copy from another device; `.copy()` it to write."""
        touch("numpy()")
        view = to_numpy(self.data).view()
        view.flags.writeable = False  # a write would slip past the version counter
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        np.asarray(self.data)  # refuses where that would hide a transfer
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __hash__(self) -> int:
        return id(self)  # `==` compares entries, so identity is the only hash

    def __repr__(self) -> str:
        grad = ""
        if self.node is not None:
            grad = ", requires_grad=True" if self.is_leaf else f", made by {self.node.primitive.name}"  # type: ignore[union-attr]
        body = np.array2string(to_numpy(self.data), separator=", ", prefix="tensor(", threshold=200)
        where = "" if self.device == "cpu" else f", {self.device}"
        return f"tensor({body}, {self.dtype}{where}{grad})"

    # -- the graph ----------------------------------------------------------------------------------------------------

    def detach(self) -> Tensor:
        """The same data as a constant: no gradient flows through it."""
        return Tensor(self.data, version=self.version)

    def requires_grad_(self) -> Tensor:
        """Make this tensor a leaf that gradients are taken with respect to, in place."""
        from .autograd import leaf

        return self if self.node is not None else leaf(self)

    def backward(self, g: Any = None, *, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradients of this tensor (a scalar, unless the cotangent g is given) to `.grad` of every leaf."""
        from .autograd import backward

        backward(self, g, retain_graph=retain_graph, create_graph=create_graph)

    # -- in-place change ----------------------------------------------------------------------------------------------

    def bump(self) -> None:
        """Record that the buffer was changed: graphs that kept it refuse to use it."""
        self.version.count += 1

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.node is not None and (recording() or not self.is_leaf):
            what = "a leaf that requires gradients" if self.is_leaf else f"an output of {self.node.primitive.name}"  # type: ignore[union-attr]
            fix = "Do it inside `with no_grad():`." if self.is_leaf else "Compute a new tensor, e.g. with where()."
            raise InPlaceError(f"setitem: this tensor is {what}; changing it in place would falsify gradients. {fix}")
        touch("assigning to entries")
        index = tuple(i.data if isinstance(i, Tensor) else i for i in (index if isinstance(index, tuple) else (index,)))
        self.data[index] = value.data if isinstance(value, Tensor) else value
        self.bump()
