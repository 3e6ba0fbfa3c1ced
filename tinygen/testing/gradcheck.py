"""Compare gradients with differences, to any order, of this engine and of anybody else's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, DTypeError, shape_text
from ..tensor import Tensor
from .differences import Line, joined, slope
from .functions import Function, Maybe, as_function
from .habits import habits
from .report import Comparison, GradientError, Report, causes, common_factor, entries, missing_sum
from .seeding import chosen

ATTEMPTS = 6  # points tried before a kink everywhere is called a failure
LARGEST = 2000  # entries of an input that a failure is explained for one by one


def gradcheck(
    f: Any,
    *inputs: Any,
    order: int = 1,
    mode: str = "directions",
    draws: int = 1,
    seed: int | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    **params: Any,
) -> Report:
    """Raise GradientError unless the gradients of f at inputs are right, to `order` 1, 2 or 3; else return a Report.

    f: takes Tensors (inputs, then params by keyword) and returns a Tensor or several; or a pair (f, vjp) of functions
    of NumPy arrays, vjp(g, *inputs) -> gradients (see `from_numpy`); or what `from_torch`, `from_jax`, `from_autograd`
    make.  inputs: float64 arrays or Tensors of any shapes, empty ones too; integer and boolean ones are held fixed.

    mode "directions": for each input, `draws` times, a random direction u and a random cotangent v (never all ones,
    which hides what sums to zero): <J'v, u> against the derivative of <v, f(x + hu)>.  Some ten evaluations an input
    and draw, whatever the sizes.  A wrong factor on one input's gradient is always seen, from about 1 + 2e-6 on.  A
    single entry of n, wrong by a fraction d of a typical entry, is missed with probability about 1e-6 sqrt(n) / d:
    0.3 % for 1 % of one entry in a thousand.
    mode "full": every entry of the Jacobian, for small shapes: one line for each input entry, one pull for each output.

    The difference comes with an estimate of its error (see `differences`); |rule - difference| must not exceed
    atol + rtol * size + that error, and an error beyond 1e-5 of the size counts as no difference at all.  At a kink the
    point is moved a little and drawn again; a kink everywhere is a failure too.  Order k + 1 checks the gradient of
    order k as a function of inputs and cotangents.

    Besides, at the first point: inputs are not changed, two runs give equal bits, a gradient has its input's shape and
    dtype, other memory layouts (strided, reversed, Fortran, repeated by a zero stride) of inputs and cotangents give
    the same, and so does leaving out the cotangent of one output of several.

    Raises ArgumentError or DTypeError for arguments that cannot be checked, float32 among them.
    """
    if mode not in ("directions", "full") or order not in (1, 2, 3) or draws < 1:
        raise ArgumentError(
            f"gradcheck: mode {mode!r}, order {order}, draws {draws}. "
            "Modes are 'directions' and 'full', orders 1, 2 and 3, draws at least 1."
        )
    arrays = [np.array(x.data if isinstance(x, Tensor) else x) for x in inputs]
    for i, a in enumerate(arrays):
        if a.dtype.kind == "f" and a.dtype != np.float64:
            raise DTypeError(f"gradcheck: input {i} is {a.dtype}; differences need float64. Pass x.astype('float64').")
    check = _Check(as_function(f, params), mode, draws, chosen(seed), rtol, atol)
    check.run(check.function, arrays, [f"input {i} {shape_text(a.shape)}" for i, a in enumerate(arrays)], 1, order)
    return check.report


class _Check:
    """One gradcheck on its way through the orders."""

    def __init__(self, f: Function, mode: str, draws: int, seed: int, rtol: float, atol: float):
        self.function, self.draws, self.rtol, self.atol = f, draws, rtol, atol
        self.report = Report(f.name, mode, seed)
        self.rng = np.random.Generator(np.random.Philox(seed))

    def run(self, f: Function, arrays: list[np.ndarray], names: list[str], order: int, orders: int) -> None:
        """Check the gradient of f, then as a function of its own the gradient itself."""
        ys = f.value([*map(np.array, arrays)])  # copies: whether it changes them is looked at below
        moving = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
        if not moving or not ys:
            return
        if any(not np.isfinite(y).all() for y in ys):
            self.fail(f"order {order}, the value is not finite at these inputs.")
        vs = self.normals(ys)
        gs = f.gradient([*map(np.array, arrays)], [*map(np.array, vs)])
        self.shapes(gs, arrays, names, order)
        if problem := habits(f, arrays, vs):
            self.fail(f"order {order}, {problem}")
        for _ in range(self.draws if self.report.mode == "directions" else 1):
            for i in moving:
                self.at_a_smooth_point(f, arrays, ys, i, names[i], order)
        self.report.evaluations += f.evaluations
        if order < orders:
            following = [*names, *(f"a cotangent {shape_text(v.shape)} of order {order}" for v in vs)]
            if any(g is not None for g in gs):
                self.run(f.derivative(len(arrays)), [*arrays, *vs], following, order + 1, orders)

    def at_a_smooth_point(
        self, f: Function, arrays: list[np.ndarray], ys: list[np.ndarray], i: int, name: str, order: int
    ) -> None:
        """Compare at the given point, or at the first one near it where no kink is in the way."""
        compare = self.directions if self.report.mode == "directions" else self.full
        for point in self.points(f, arrays):
            if compare(f, point, ys, i, name, order):
                return
            self.report.redraws += 1
        self.fail(
            f"order {order}, {name}: differences do not converge, here and at {ATTEMPTS - 1} points nearby. "
            "Is it continuous? Pass inputs away from kinks, or inside the domain."
        )

    def points(self, f: Function, arrays: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """The point itself, then others within a hundredth of it."""
        yield arrays
        for _ in range(1, ATTEMPTS):
            for size in (1e-2, 1e-4, 1e-6):  # less where that leaves the domain
                point = [a + size * _scale(a) * self.normal(a) if a.dtype.kind == "f" else a for a in arrays]
                with np.errstate(all="ignore"):
                    inside = all(np.isfinite(y).all() for y in f.value(point))
                if inside:
                    break
            yield point

    def directions(
        self, f: Function, arrays: list[np.ndarray], ys: list[np.ndarray], i: int, name: str, order: int
    ) -> bool:
        """Along one random direction; False at a kink."""
        vs = self.normals(ys)
        u = self.normal(arrays[i]) * _scale(arrays[i])
        numeric = slope(Line(f, arrays, {i: u}, vs))
        if not numeric.smooth:
            return False
        gradient = f.gradient(arrays, vs)[i]
        exact = 0.0 if gradient is None else float(np.vdot(gradient, u))
        made = Comparison(order, name, "a random direction", exact, float(numeric.value), float(numeric.error))
        self.report.comparisons.append(made)
        if not self.agree(made.exact, made.numeric, made.error):
            self.explain(f, arrays, i, vs, made)
        return True

    def full(self, f: Function, arrays: list[np.ndarray], ys: list[np.ndarray], i: int, name: str, order: int) -> bool:
        """Every output entry by every entry of input i; False at a kink."""
        size = joined(ys).size
        rows = np.zeros((size, arrays[i].size))
        for m in range(size):
            gradient = f.gradient(arrays, _unit(ys, m))[i]
            rows[m] = 0 if gradient is None else gradient.ravel()
        for n in range(arrays[i].size):
            direction = _unit([arrays[i]], n)[0]
            numeric = slope(Line(f, arrays, {i: direction}, None))
            if not numeric.smooth:
                return False
            for m in range(size):
                along = f"entry {_entry(arrays[i].shape, n)}, for output entry {m}"
                made = Comparison(
                    order, name, along, float(rows[m, n]), float(numeric.value[m]), float(numeric.error[m])
                )
                self.report.comparisons.append(made)
                if not self.agree(made.exact, made.numeric, made.error):
                    self.explain(f, arrays, i, _unit(ys, m), made)
        return True

    def agree(self, exact: float, numeric: float, error: float) -> bool:
        """NaN agrees with nothing."""
        return abs(exact - numeric) <= self.atol + self.rtol * max(abs(exact), abs(numeric)) + 3 * error

    def explain(
        self, f: Function, arrays: list[np.ndarray], i: int, vs: Sequence[np.ndarray], failed: Comparison
    ) -> None:
        """Raise; with the whole gradient of that input by differences, or where it is large some more directions."""
        self.report.failed = failed
        exact = f.gradient(arrays, vs)[i]
        exact = np.zeros(arrays[i].shape) if exact is None else exact
        if exact.size <= LARGEST:
            numeric = _gradient(f, arrays, i, vs)
            self.report.entries = entries(exact, numeric)
            self.report.causes = causes(exact, numeric, lambda: _spread(f, arrays, i, vs))
        else:
            us = [self.normal(exact) * _scale(arrays[i]) for _ in range(3)]
            along = np.array([slope(Line(f, arrays, {i: u}, vs)).value for u in us])
            self.report.causes = common_factor(np.array([np.vdot(exact, u) for u in us]), along)
        raise GradientError(self.report)

    def shapes(self, gs: Maybe, arrays: list[np.ndarray], names: list[str], order: int) -> None:
        """A gradient has its input's shape and dtype, and is finite."""
        for a, g, name in zip(arrays, gs, names, strict=True):
            if g is None or a.dtype.kind != "f":
                continue
            if g.shape != a.shape:
                self.fail(f"order {order}, {name}: {missing_sum(a.shape, g.shape)}")
            if g.dtype != a.dtype:
                self.fail(f"order {order}, {name}: the gradient is {g.dtype}, the input {a.dtype}.")
            if not np.isfinite(g).all():
                self.fail(f"order {order}, {name}: the gradient has {int((~np.isfinite(g)).sum())} entries not finite.")

    def normal(self, like: np.ndarray) -> np.ndarray:
        return np.asarray(self.rng.standard_normal(like.shape))

    def normals(self, like: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self.normal(y) for y in like]

    def fail(self, problem: str) -> None:
        self.report.problem = problem
        raise GradientError(self.report)


def _scale(a: np.ndarray) -> float:
    """The size of an input's entries, at least one: steps are relative to it."""
    return max(1.0, float(np.sqrt(np.mean(a * a)))) if a.size else 1.0


def _unit(like: Sequence[np.ndarray], at: int) -> list[np.ndarray]:
    """Zeros of these shapes but for a one at entry `at` of all entries joined."""
    flat = np.zeros(joined(like).size)
    flat[at] = 1
    parts = np.split(flat, np.cumsum([a.size for a in like])[:-1])
    return [part.reshape(a.shape) for part, a in zip(parts, like, strict=True)]


def _entry(shape: tuple[int, ...], at: int) -> str:
    return shape_text([int(n) for n in np.unravel_index(at, shape)])


def _gradient(f: Function, arrays: list[np.ndarray], i: int, vs: Sequence[np.ndarray]) -> np.ndarray:
    """The gradient of <v, f> for input i by plain central differences, entry by entry: to be read, not judged by."""
    h = 1e-6 * _scale(arrays[i])
    lines = (Line(f, arrays, {i: _unit([arrays[i]], n)[0]}, vs) for n in range(arrays[i].size))
    return np.array([float(line.difference(-h, h)) for line in lines]).reshape(arrays[i].shape)


def _spread(f: Function, arrays: list[np.ndarray], i: int, vs: Sequence[np.ndarray]) -> np.ndarray | None:
    """That gradient for input i written out to an output's shape, where f takes it so; None where it does not."""
    shape = max((v.shape for v in vs), key=len)
    if shape == arrays[i].shape or int(np.prod(shape)) > LARGEST:
        return None
    try:
        wide = [np.broadcast_to(a, shape).copy() if n == i else a for n, a in enumerate(arrays)]
        if [y.shape for y in f.value(wide)] != [v.shape for v in vs]:
            return None
    except Exception:  # whatever a function raises for a shape that it does not take
        return None
    return _gradient(f, wide, i, vs)
