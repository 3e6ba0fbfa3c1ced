"""What gradcheck found, in words: the numbers, the entries, and the cause where it can be told."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import TinygenError, shape_text


class GradientError(TinygenError, AssertionError):
    """A gradient that does not agree with finite differences; `report` has the numbers."""

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report


@dataclass(frozen=True)
class Comparison:
    """One number of the rule against one of the differences."""

    order: int
    input: str  # "input 1 (3,4)"
    along: str  # "a random direction", or an entry
    exact: float  # by the rule
    numeric: float  # by differences
    error: float  # of numeric, as estimated

    @property
    def relative(self) -> float:
        """|exact - numeric| relative to the larger of the two."""
        return abs(self.exact - self.numeric) / max(abs(self.exact), abs(self.numeric), np.finfo(float).tiny)


@dataclass
class Report:
    """The outcome of one gradcheck: true if all is well, and str(report) says what was done or what is wrong."""

    name: str
    mode: str
    seed: int
    comparisons: list[Comparison] = field(default_factory=list)
    redraws: int = 0  # points or directions that met a kink
    evaluations: int = 0
    problem: str | None = None
    failed: Comparison | None = None
    causes: list[str] = field(default_factory=list)
    entries: str | None = None

    def __bool__(self) -> bool:
        return self.problem is None and self.failed is None

    def __str__(self) -> str:
        seed = f"Reproduce with seed={self.seed}."
        if self.problem is not None:
            return f"{self.name}: {self.problem} {seed}"
        if self.failed is None:
            return self._success(seed)
        c = self.failed
        lines = [
            f"{self.name}: order {c.order}, the gradient for {c.input} is wrong along {c.along}:",
            f"  the rule gives       {c.exact:.10g}",
            f"  differences give     {c.numeric:.10g}  (± {c.error:.1g})",
            f"  relative error       {c.relative:.3g}",
        ]
        lines += [f"  entries              {self.entries}"] if self.entries else []
        lines += [f"  likely               {cause}" for cause in self.causes]
        return "\n".join([*lines, f"  {seed}"])

    def _success(self, seed: str) -> str:
        orders = max((c.order for c in self.comparisons), default=0)
        worst = max(self.comparisons, key=lambda c: c.relative, default=None)
        found = (
            f"worst relative error {worst.relative:.1g} ({worst.input}, order {worst.order})"
            if worst
            else "nothing moves"
        )
        return (
            f"{self.name}: {len(self.comparisons)} comparisons to order {orders} agree, {found}; "
            f"{self.redraws} redrawn at kinks, {self.evaluations} evaluations. {seed}"
        )


# -- causes -----------------------------------------------------------------------------------------------------------


def entries(exact: np.ndarray, numeric: np.ndarray) -> str:
    """Which entries of a gradient differ, and the worst of them."""
    wrong = _wrong(exact, numeric)
    worst = np.unravel_index(np.argmax(np.abs(exact - numeric)), exact.shape)
    at = shape_text([int(i) for i in worst])
    where = ""
    if 0 < wrong.sum() < wrong.size:
        for axis in range(wrong.ndim):
            if (index := _only(wrong, axis)) is not None:
                where += f", all at index {index} of axis {axis}"
    return (
        f"{wrong.sum()} of {wrong.size} differ{where}; the worst at {at}: "
        f"the rule {exact[worst]:.6g}, differences {numeric[worst]:.6g}"
    )


def causes(exact: np.ndarray, numeric: np.ndarray, spread: Callable[[], np.ndarray | None] = lambda: None) -> list[str]:
    """What a wrong gradient looks like.

    exact, numeric: the whole gradient of one input, by the rule and by differences.

    spread() is the numeric gradient when that input is written out to the shape it broadcasts to (extra axes in
    front), or None where it does not broadcast.
    """
    close = lambda a, b: a.shape == b.shape and not _wrong(a, b).any()
    if close(exact, numeric):
        return ["entry by entry the gradient is right: a kink or a jump lies close to this point"]
    if found := common_factor(exact, numeric):
        return found
    wide = spread()
    if wide is not None and (axes := _broadcast_axes(wide.shape, exact.shape)):
        slices = np.moveaxis(wide, axes, range(len(axes))).reshape(
            -1, *[n for i, n in enumerate(wide.shape) if i not in axes]
        )
        if any(close(exact.reshape(s.shape), s) for s in slices):
            return [f"the sum over the broadcast axes {axes} is missing: it is the contribution of one slice"]
    for axes in itertools.permutations(range(numeric.ndim)):
        if axes != tuple(range(numeric.ndim)) and close(exact, numeric.transpose(axes)):
            return [f"transposed: it is the right gradient with its axes in the order {axes}"]
    for axis in range(numeric.ndim):
        if close(exact, np.flip(numeric, axis)):
            return [f"flipped along axis {axis}"]
        for shift in (1, -1):
            if numeric.shape[axis] > 2 and close(exact, np.roll(numeric, shift, axis)):
                return [f"shifted by {shift} along axis {axis}"]
    if close(np.abs(exact), np.abs(numeric)):
        return ["the sign of some entries is wrong"]
    wrong = _wrong(exact, numeric)
    if not exact[wrong].any():
        return ["the entries that differ are zero: a mask or a border leaves out too much"]
    if not numeric[wrong].any():
        return ["the entries that differ should be zero: a mask or a border lets too much through"]
    borders = [f"axis {axis}" for axis in range(wrong.ndim) if _only(wrong, axis) in (0, wrong.shape[axis] - 1)]
    return [f"what happens at the border of {' and '.join(borders)}"] if borders else []


def common_factor(exact: np.ndarray, numeric: np.ndarray) -> list[str]:
    """The cause, if exact is numeric times one number."""
    if not exact.any():
        return ["it is zero: a detached value, or a path that the rule forgets"]
    ratio = float(np.vdot(exact, numeric) / max(np.vdot(numeric, numeric), np.finfo(float).tiny))
    return [_factor(ratio)] if ratio and not _wrong(exact, ratio * numeric).any() else []


def missing_sum(shape: tuple[int, ...], found: tuple[int, ...]) -> str:
    """A gradient of shape `found` for an input of `shape`."""
    text = f"the gradient has shape {shape_text(found)}, the input {shape_text(shape)}."
    axes = _broadcast_axes(found, shape)
    if axes:
        return f"{text} Likely: the sum over the broadcast axes {axes} is missing."
    if sorted(found) == sorted(shape):
        return f"{text} Likely: transposed."
    return text


def _wrong(exact: np.ndarray, numeric: np.ndarray) -> np.ndarray:
    return np.abs(exact - numeric) > 1e-5 * max(np.abs(exact).max(initial=0), np.abs(numeric).max(initial=0))


def _only(wrong: np.ndarray, axis: int) -> int | None:
    """The one index along an axis at which entries are wrong, if the axis has others."""
    found = np.unique(np.nonzero(wrong)[axis])
    return int(found[0]) if len(found) == 1 and wrong.shape[axis] > 1 else None


def _broadcast_axes(wide: tuple[int, ...], narrow: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of `wide` over which an array of shape `narrow` was repeated; () where it does not broadcast."""
    if len(narrow) > len(wide):
        return ()
    padded = (1,) * (len(wide) - len(narrow)) + narrow
    if any(n not in (1, w) for n, w in zip(padded, wide, strict=True)):
        return ()
    return tuple(i for i, (n, w) in enumerate(zip(padded, wide, strict=True)) if n != w)


def _factor(ratio: float) -> str:
    known = {
        -1.0: "the sign is wrong",
        2.0: "a factor of two too large",
        0.5: "a factor of two too small",
        -2.0: "the sign is wrong, and a factor of two too large",
        -0.5: "the sign is wrong, and a factor of two too small",
    }
    for value, text in known.items():
        if abs(ratio - value) < 1e-3 * abs(value):
            return text
    if abs(ratio) < 1 and abs(1 / ratio - round(1 / ratio)) < 1e-3 and abs(round(1 / ratio)) > 2:
        return f"too small by a factor of {round(1 / ratio)}: a mean in place of a sum?"
    if abs(ratio) > 1 and abs(ratio - round(ratio)) < 1e-3 * abs(ratio):
        return f"too large by a factor of {round(ratio)}: a sum in place of a mean, or a term counted more than once?"
    return f"every entry is {ratio:.6g} times what it should be"
