"""What gradcheck checks: a function of arrays together with the way its library differentiates it.

A `Library` is four functions: into its arrays, out of them, a vector-Jacobian product that it can differentiate again,
and the context to evaluate in.  The engine's is here, so is NumPy's for a pair (f, vjp); `adapters` has the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..autograd import backprop, grad, leaf
from ..errors import ArgumentError
from ..modes import enable_grad, no_grad
from ..tensor import Tensor

Arrays = Sequence[np.ndarray]
Maybe = list[np.ndarray | None]


class Library(NamedTuple):
    """How arrays go in and out, and how a function f of them (a list of arrays comes back) is differentiated.

    vjp(f, xs, gs, create_graph) -> one gradient for each x, None where there is none; a None in gs says that nothing
    arrives at that output.  Everything runs inside `context()`, evaluation alone inside `plain()` too.
    """

    wrap: Callable[[np.ndarray], Any]
    unwrap: Callable[[Any], np.ndarray]
    vjp: Callable[[Callable[..., list[Any]], Sequence[Any], Sequence[Any], bool], list[Any]]
    context: Callable[[], AbstractContextManager[Any]] = nullcontext
    plain: Callable[[], AbstractContextManager[Any]] = nullcontext
    complex_step: bool = False  # f may be called with complex arrays


class Function:
    """f(*arrays) with floating outputs only, its gradient, and the function that its gradient is."""

    def __init__(self, f: Callable[..., Any], library: Library, name: str | None = None):
        self.f = f
        self.library = library
        self.name = name or str(getattr(f, "name", None) or getattr(f, "__name__", None) or type(f).__name__)
        self.evaluations = 0

    def value(self, arrays: Arrays) -> list[np.ndarray]:
        """The floating outputs."""
        self.evaluations += 1
        with self.library.context(), self.library.plain():
            return [self.library.unwrap(y) for y in self.outputs(*map(self.library.wrap, arrays))]

    def gradient(self, arrays: Arrays, gs: Sequence[np.ndarray | None]) -> Maybe:
        """Cotangents of the inputs, given those of the floating outputs; None where there is none."""
        wrap, unwrap = self.library.wrap, self.library.unwrap
        with self.library.context():
            found = self.library.vjp(
                self.outputs, [*map(wrap, arrays)], [None if g is None else wrap(g) for g in gs], False
            )
            return [None if g is None else unwrap(g) for g in found]

    def derivative(self, inputs: int) -> Function:
        """(inputs, then a cotangent for each output) -> the gradients that exist: what the next order checks."""
        vjp = self.library.vjp
        f = lambda *args: [g for g in vjp(self.outputs, args[:inputs], args[inputs:], True) if g is not None]
        return Function(f, self.library, self.name)

    def outputs(self, *xs: Any) -> list[Any]:
        """The floating outputs as the library's arrays."""
        y = self.f(*xs)
        return [y for y in (y if isinstance(y, tuple | list) else (y,)) if _floating(y)]


def _floating(y: Any) -> bool:
    """Of any library: NumPy's float64, PyTorch's torch.float64, Python's float."""
    return isinstance(y, float) or "float" in str(getattr(y, "dtype", "")) or "complex" in str(getattr(y, "dtype", ""))


# -- the engine -------------------------------------------------------------------------------------------------------


def engine_vjp(f: Callable[..., list[Any]], xs: Sequence[Any], gs: Sequence[Any], create_graph: bool) -> list[Any]:
    """The engine's own; differentiable where an x is in a graph already, or create_graph is set."""
    zs = [x if x.node is not None or x.dtype.kind != "f" else leaf(x.detach()) for x in xs]
    with enable_grad():  # a difference of a gradient is taken inside no_grad
        ys = f(*zs)
    live = [(y, g) for y, g in zip(ys, gs, strict=True) if g is not None and y.node is not None]
    moving = [z for z in zs if z.node is not None]
    found = iter(backprop([y for y, _ in live], [g for _, g in live], moving, create_graph=create_graph))
    return [None if z.node is None else next(found) for z in zs]


ENGINE = Library(Tensor, lambda t: t.data, engine_vjp, plain=no_grad)


# -- NumPy ------------------------------------------------------------------------------------------------------------


def from_numpy(f: Callable[..., Any], vjp: Callable[..., Any], name: str | None = None) -> Function:
    """f(*arrays) -> array or tuple of arrays, and vjp(g, *arrays) -> one gradient, or a tuple with one for each input.

    g is f's cotangent: an array, or a tuple of them when f returns a tuple.  A gradient of None says that the input
    has none.  One order only: nothing tells how vjp itself is differentiated.
    """

    def pull(f_list: Callable[..., list[Any]], xs: Sequence[Any], gs: Sequence[Any], create_graph: bool) -> list[Any]:
        if create_graph:
            raise ArgumentError(
                "gradcheck: a pair (f, vjp) has one derivative. Pass order=1, or the pair (vjp, its vjp)."
            )
        if any(g is None for g in gs):
            gs = [np.zeros_like(y) if g is None else g for y, g in zip(f_list(*xs), gs, strict=True)]
        found = vjp(gs[0] if len(gs) == 1 else tuple(gs), *xs)
        found = list(found) if isinstance(found, tuple | list) else [found]
        if len(found) != len(xs):
            raise ArgumentError(
                f"gradcheck: vjp returned {len(found)} gradients for {len(xs)} inputs. Use None for none."
            )
        return [None if g is None else np.asarray(g) for g in found]

    library = Library(lambda a: a, np.asarray, pull, complex_step=True)
    return Function(f, library, name or getattr(f, "__name__", "f"))


def from_parameters(loss: Callable[[], Tensor], parameters: Sequence[Tensor], name: str = "loss") -> Function:
    """A model's loss as a function of its float64 parameters: `gradcheck(from_parameters(f, ps), *ps)`.

    loss() computes a Tensor from parameters that it finds where it always does; they are set for each evaluation and
    get their values back.  One order.
    """

    def at(arrays: Arrays, compute: Callable[[], Any]) -> Any:
        before = [p.data.copy() for p in parameters]
        try:
            for p, array in zip(parameters, arrays, strict=True):
                p.data[...] = array
                p.bump()
            return compute()
        finally:
            for p, array in zip(parameters, before, strict=True):
                p.data[...] = array
                p.bump()

    def value(*arrays: np.ndarray) -> np.ndarray:
        with no_grad():
            return at(arrays, lambda: loss().data)

    def vjp(g: np.ndarray, *arrays: np.ndarray) -> Maybe:
        gradients = lambda: grad(loss(), parameters, np.array(g), allow_unused=True)
        return [None if found is None else found.data for found in at(arrays, gradients)]

    return from_numpy(value, vjp, name)


def as_function(f: Any, params: dict[str, Any]) -> Function:
    """A function of Tensors, a pair (f, vjp), or what an adapter made, with params bound by keyword."""
    if isinstance(f, tuple):
        value, vjp = f
        return from_numpy(partial(value, **params), partial(vjp, **params), getattr(value, "__name__", "f"))
    if not isinstance(f, Function):
        f = Function(f, ENGINE)
    if not params:
        return f
    return Function(lambda *xs: f.f(*xs, **params), f.library, f.name)
