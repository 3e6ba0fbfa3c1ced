"""Other libraries' functions under our gradcheck, and our ops under PyTorch's.

Each adapter imports its library when it is called, and says what to install where it is absent.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import MissingExtra
from ..modes import no_grad
from ..tensor import Tensor
from .functions import ENGINE, Function, Library


def from_torch(f: Callable[..., Any], name: str | None = None) -> Function:
    """A function of PyTorch tensors (CPU, float64) for gradcheck: `gradcheck(from_torch(f), x, w)`.

    Positional arguments are tensors; a torch.nn.Module is a function of its input.  Raises MissingExtra without torch.
    """
    torch = _imported("torch", "from_torch", "bench")

    def wrap(a: np.ndarray) -> Any:
        return torch.from_numpy(a if all(s >= 0 for s in a.strides) else a.copy())  # it has no negative strides

    def vjp(f: Callable[..., list[Any]], xs: Sequence[Any], gs: Sequence[Any], create_graph: bool) -> list[Any]:
        zs = [x if x.requires_grad or not x.is_floating_point() else x.detach().requires_grad_() for x in xs]
        with torch.enable_grad():
            ys = f(*zs)
        live = [(y, g) for y, g in zip(ys, gs, strict=True) if g is not None and y.requires_grad]
        moving = [z for z in zs if z.requires_grad]
        if not live:
            return [None] * len(zs)
        outs, cotangents = zip(*live, strict=True)
        found = iter(torch.autograd.grad(outs, moving, cotangents, create_graph=create_graph, allow_unused=True))
        return [next(found) if z.requires_grad else None for z in zs]

    return Function(f, Library(wrap, lambda t: t.detach().numpy(), vjp, plain=torch.no_grad), name)


def from_jax(f: Callable[..., Any], name: str | None = None) -> Function:
    """A function of JAX arrays for gradcheck, in float64 whatever `jax_enable_x64` says outside.

    Raises MissingExtra without JAX.
    """
    jax = _imported("jax", "from_jax", None)

    def vjp(f: Callable[..., list[Any]], xs: Sequence[Any], gs: Sequence[Any], create_graph: bool) -> list[Any]:
        moving = [i for i, x in enumerate(xs) if jax.numpy.issubdtype(x.dtype, jax.numpy.floating)]

        def of_moving(*zs: Any) -> list[Any]:
            there = dict(zip(moving, zs, strict=True))
            return f(*[there.get(i, x) for i, x in enumerate(xs)])

        ys, pull = jax.vjp(of_moving, *[xs[i] for i in moving])
        found = pull([jax.numpy.zeros_like(y) if g is None else g for y, g in zip(ys, gs, strict=True)])
        return [dict(zip(moving, found, strict=True)).get(i) for i in range(len(xs))]

    return Function(f, Library(jax.numpy.asarray, np.asarray, vjp, context=lambda: jax.enable_x64(True)), name)


def from_autograd(f: Callable[..., Any], name: str | None = None) -> Function:
    """A function written with `autograd.numpy` (HIPS autograd) for gradcheck.  Raises MissingExtra without autograd."""
    autograd = _imported("autograd", "from_autograd", None)
    anp = importlib.import_module("autograd.numpy")

    def vjp(f: Callable[..., list[Any]], xs: Sequence[Any], gs: Sequence[Any], create_graph: bool) -> list[Any]:
        moving = tuple(i for i, x in enumerate(xs) if "float" in str(x.dtype))
        weighed = lambda *zs: sum(anp.sum(y * g) for y, g in zip(f(*zs), gs, strict=True) if g is not None)
        pull, _ = autograd.make_vjp(weighed, moving)(*xs)
        return [dict(zip(moving, pull(1.0), strict=True)).get(i) for i in range(len(xs))]

    return Function(f, Library(lambda a: a, np.asarray, vjp), name)


def to_torch(f: Any, **params: Any) -> Callable[..., Any]:
    """A function of Tensors as one of PyTorch tensors, differentiable there to any order by our rules.

    `torch.autograd.gradcheck(to_torch(ops.conv2d, pad=1), (x, w))`.  Each derivative is a torch.autograd.Function
    around ours.  Raises MissingExtra without torch.
    """
    torch = _imported("torch", "to_torch", "bench")
    of_tensors = Function(lambda *xs: f(*xs, **params), ENGINE, "to_torch")

    base: Any = torch.autograd.Function

    class Applied(base):
        @staticmethod
        def forward(ctx: Any, *xs: Any) -> Any:
            ctx.save_for_backward(*xs)
            with no_grad():
                ys = f(*[Tensor(x.detach().numpy()) for x in xs], **params)
            ctx.single = not isinstance(ys, tuple | list)
            # copies: a view of ours would share memory behind PyTorch's back
            made = tuple(torch.from_numpy(np.array(y.data)) for y in ([ys] if ctx.single else ys))
            ctx.mark_non_differentiable(*[y for y in made if not y.is_floating_point()])
            return made[0] if ctx.single else made

        @staticmethod
        def backward(ctx: Any, *gs: Any) -> Any:
            xs = ctx.saved_tensors
            floats = [g for g in gs if g.is_floating_point()]
            wanted = [i for i, needed in enumerate(ctx.needs_input_grad) if needed]
            found = to_torch(lambda *args: _gradients(of_tensors, args, len(xs), wanted))(*xs, *floats)
            there = dict(zip(wanted, found, strict=True))
            return tuple(there.get(i) for i in range(len(xs)))

    return Applied.apply


def _gradients(f: Function, args: Sequence[Tensor], inputs: int, wanted: Sequence[int]) -> tuple[Tensor, ...]:
    """Our gradients for the wanted inputs, zeros where nothing flows: PyTorch counts on their number."""
    found = f.library.vjp(f.outputs, args[:inputs], args[inputs:], True)
    return tuple(Tensor(np.zeros_like(args[i].data)) if found[i] is None else found[i] for i in wanted)


def _imported(library: str, purpose: str, extra: str | None) -> Any:
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:
            raise
        raise MissingExtra(library, extra, purpose) from None
