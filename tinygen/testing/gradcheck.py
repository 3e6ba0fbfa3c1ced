"""Compare an op's gradients with central differences, along random directions, to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..autograd import backprop, leaf
from ..errors import DTypeError, TinygenError
from ..modes import enable_grad, no_grad
from ..tensor import Tensor


class GradientError(TinygenError, AssertionError):
    """A gradient that does not agree with finite differences."""


def gradcheck(
    f: Callable[..., Any],
    *inputs: Any,
    order: int = 1,
    seed: int = 0,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    **params: Any,
) -> None:
    """Raise GradientError unless the gradients of f at inputs are right, to `order`.

    f takes Tensors (inputs, then params by keyword) and returns a Tensor or a tuple of them.  Inputs are float64 arrays
    or Tensors; integer and boolean ones are held fixed.  Per order: a random cotangent v and a random direction u; the
    analytic <J'v, u> is compared with a central difference of <v, f(x + h u)> in h, extrapolated (Ridders 1982), which
    also estimates its own error.  A failure is narrowed to the first input whose own direction disagrees.
    """
    arrays = [np.array(x.data if isinstance(x, Tensor) else x) for x in inputs]
    for i, a in enumerate(arrays):
        if a.dtype == np.float32:
            raise DTypeError(f"gradcheck: input {i} is float32; differences need float64. Pass x.astype('float64').")
    name = str(getattr(f, "name", None) or getattr(f, "__name__", "f"))
    _check(
        lambda *xs: f(*xs, **params),
        arrays,
        order,
        1,
        name,
        np.random.Generator(np.random.Philox(seed)),
        rtol,
        atol,
        seed,
    )


def _check(
    f: Callable[..., Any],
    arrays: list[np.ndarray],
    orders: int,
    order: int,
    name: str,
    rng: np.random.Generator,
    rtol: float,
    atol: float,
    seed: int,
) -> None:
    moving = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    xs = [leaf(Tensor(a)) if i in moving else Tensor(a) for i, a in enumerate(arrays)]
    ys = _outputs(f(*xs))
    if not moving or not ys:
        return
    vs = [np.asarray(rng.standard_normal(y.shape)) for y in ys]  # never all ones: those hide what sums to zero
    us = {i: np.asarray(rng.standard_normal(arrays[i].shape)) for i in moving}
    live = [(y, Tensor(v)) for y, v in zip(ys, vs, strict=True) if y.node is not None]
    gs = backprop([y for y, _ in live], [v for _, v in live], [xs[i] for i in moving])
    parts = {i: 0.0 if g is None else float(np.vdot(g.data, us[i])) for i, g in zip(moving, gs, strict=True)}
    for i, g in zip(moving, gs, strict=True):
        if g is not None and (g.shape != arrays[i].shape or g.dtype != arrays[i].dtype):
            raise GradientError(
                f"{name}: order {order}, the gradient for input {i} is {g.shape} {g.dtype}, "
                f"the input {arrays[i].shape} {arrays[i].dtype}."
            )
    along = lambda directions: _difference(f, arrays, vs, directions)
    numeric, error = along(us)
    if not _agree(sum(parts.values()), numeric, error, rtol, atol):
        for i in moving:
            numeric, error = along({i: us[i]})
            if not _agree(parts[i], numeric, error, rtol, atol):
                raise GradientError(_report(name, order, i, arrays[i].shape, parts[i], numeric, error, seed))
        raise GradientError(_report(name, order, None, (), sum(parts.values()), numeric, error, seed))
    if order < orders:

        def gradient(*args: Tensor) -> tuple[Tensor, ...]:
            zs = [
                z if z.node is not None or i not in moving else leaf(z.detach()) for i, z in enumerate(args[: len(xs)])
            ]
            with enable_grad():  # a difference of this gradient is taken inside no_grad
                ys = _outputs(f(*zs))
            outs = [(y, g) for y, g in zip(ys, args[len(xs) :], strict=True) if y.node is not None]
            found = backprop([y for y, _ in outs], [g for _, g in outs], [zs[i] for i in moving], create_graph=True)
            return tuple(g for g in found if g is not None)

        _check(gradient, [*arrays, *vs], orders, order + 1, name, rng, rtol, atol, seed)


def _outputs(y: Any) -> list[Tensor]:
    ys = [y] if isinstance(y, Tensor) else list(y)
    return [y for y in ys if y.dtype.kind == "f"]


def _difference(
    f: Callable[..., Any], arrays: Sequence[np.ndarray], vs: Sequence[np.ndarray], us: dict[int, np.ndarray]
) -> tuple[float, float]:
    """d/dh <v, f(x + h u)> at h = 0 and an estimate of its error, by Ridders' extrapolation of central differences."""

    def inner(h: float) -> float:
        with no_grad():
            moved = [np.asarray(a + h * us[i]) if i in us else a for i, a in enumerate(arrays)]
            ys = _outputs(f(*map(Tensor, moved)))
        return sum(float(np.vdot(y.data, v)) for y, v in zip(ys, vs, strict=True))

    table: list[list[float]] = []
    best, best_error = 0.0, np.inf
    h = 2e-3
    for i in range(5):
        row = [(inner(h) - inner(-h)) / (2 * h)]
        for j in range(i):
            factor = 4.0 ** (j + 1)
            row.append((factor * row[j] - table[-1][j]) / (factor - 1))
            error = max(abs(row[-1] - row[-2]), abs(row[-1] - table[-1][j]))
            if error <= best_error:
                best, best_error = row[-1], error
        table.append(row)
        h /= 2
    return best, best_error


def _agree(exact: float, numeric: float, error: float, rtol: float, atol: float) -> bool:
    scale = max(abs(exact), abs(numeric))
    # the difference's own error is forgiven, but only while it is small: a hopeless difference proves nothing
    return abs(exact - numeric) <= atol + rtol * scale + min(2 * error, 1e-4 * (1 + scale))


def _report(
    name: str, order: int, i: int | None, shape: tuple[int, ...], exact: float, numeric: float, error: float, seed: int
) -> str:
    ratio = exact / numeric if numeric else np.inf
    causes = {
        -1.0: "the sign is wrong",
        2.0: "a factor of two too large",
        0.5: "a factor of two too small",
        0.0: "it is zero",
    }
    cause = next((f" Likely: {text}." for value, text in causes.items() if abs(ratio - value) < 1e-3), "")
    where = f"input {i} {shape}" if i is not None else "all inputs together"
    return (
        f"{name}: order {order}, {where}, along a random direction: the rule gives {exact:.10g}, "
        f"differences give {numeric:.10g} (± {error:.1g}).{cause} Reproduce with seed={seed}."
    )
