"""The registry of cases: one record per op, consumed by every test of ops and by the benchmarks.

A case says how to draw valid inputs and parameters, what PyTorch calls the same thing, to which order gradients are
claimed, and which inputs must be refused with which words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..primitive import Primitive

Sample = Callable[["Draw"], tuple[tuple[Any, ...], dict[str, Any]]]

cases: dict[str, Case] = {}  # name -> case; a name is the op's, or "op/variant"


class Draw:
    """What a case's `sample` draws from: sizes and choices from a source that hypothesis may drive, entries by seed.

    Floats are float64; consumers cast them.  `integer(low, high)` returns an int in [low, high].
    """

    def __init__(self, seed: int, integer: Callable[[int, int], int] | None = None):
        self.generator = np.random.Generator(np.random.Philox(seed))
        self._integer = integer or (lambda low, high: int(self.generator.integers(low, high, endpoint=True)))

    def size(self, low: int, high: int) -> int:
        """A length in [low, high]."""
        return self._integer(low, high)

    def choice(self, *options: Any) -> Any:
        """One of the options; the first is the simplest."""
        return options[self._integer(0, len(options) - 1)]

    def normal(self, *shape: int) -> np.ndarray:
        """Standard normals."""
        return self.generator.standard_normal(shape)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """Uniform on [low, high)."""
        return self.generator.uniform(low, high, shape)

    def positive(self, *shape: int) -> np.ndarray:
        """Bounded away from zero: uniform on [0.5, 2)."""
        return self.generator.uniform(0.5, 2.0, shape)

    def away(self, *shape: int, kinks: Sequence[float] = (0.0,)) -> np.ndarray:
        """Normals at least 0.1 away from every kink."""
        x = self.generator.standard_normal(shape)
        while (near := np.min([np.abs(x - k) for k in kinks], axis=0) < 0.1).any():
            x = np.where(near, self.generator.standard_normal(shape), x)
        return x

    def distinct(self, *shape: int) -> np.ndarray:
        """Entries in random order, at least 0.2 apart, for ops that compare."""
        n = int(np.prod(shape))
        ranks = self.generator.permutation(n) - n / 2
        return (0.3 * ranks + self.generator.uniform(-0.05, 0.05, n)).reshape(shape)

    def integers(self, *shape: int, high: int) -> np.ndarray:
        """int64 in [0, high)."""
        return self.generator.integers(0, high, shape, dtype=np.int64)

    def bools(self, *shape: int) -> np.ndarray:
        """Fair coins."""
        return self.generator.random(shape) < 0.5

    def binary(self, *shape: int) -> np.ndarray:
        """Fair coins as floats 0 and 1."""
        return (self.generator.random(shape) < 0.5).astype(np.float64)


@dataclass(frozen=True)
class Refusal:
    """Inputs that must raise `type` with text matching `match`, before any work."""

    sample: Sample
    type: type[Exception]
    match: str


@dataclass(frozen=True)
class Case:
    """One way to call one op; see `case`."""

    name: str
    op: Callable[..., Any]
    sample: Sample
    torch: Callable[..., Any] | None
    orders: int
    errors: Sequence[Refusal]
    bench: Sequence[tuple[tuple[tuple[int, ...], ...], dict[str, Any]]]
    tolerance: float
    covers: Sequence[str] = field(default=())

    def draw(self, seed: int, dtype: Any = np.float64, integer: Any = None) -> tuple[list[Any], dict[str, Any]]:
        """Inputs, floats cast to dtype, and parameters."""
        inputs, params = self.sample(Draw(seed, integer))
        return [cast_floats(np.asarray(a) if isinstance(a, np.generic | float) else a, dtype) for a in inputs], params


def cast_floats(a: Any, dtype: Any) -> Any:
    """`a` with floating entries as dtype, anything else as it is."""
    return np.ascontiguousarray(a, dtype).reshape(a.shape) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a


def error(sample: Sample, type: type[Exception], match: str) -> Refusal:
    """Inputs and parameters that the op must refuse."""
    return Refusal(sample, type, match)


def case(
    op: Callable[..., Any],
    sample: Sample,
    *,
    name: str | None = None,
    torch: Callable[..., Any] | None = None,
    orders: int = 2,
    errors: Sequence[Refusal] = (),
    bench: Sequence[tuple[tuple[tuple[int, ...], ...], dict[str, Any]]] = (),
    tolerance: float = 1.0,
    covers: Sequence[Primitive] = (),
) -> Case:
    """Register a case.

    op: a primitive, or a function built of them.  sample(d) -> (inputs, params), drawn from a `Draw`.
    torch(torch, *inputs, **params): the same mathematics on torch tensors.  orders: how many derivatives are claimed.
    errors: refusals.  bench: model-size shapes with parameters.  tolerance: a factor on the tests' tolerances, for ops
    whose conditioning needs it.  covers: further primitives that this case exercises.
    """
    base = getattr(op, "name", None) or op.__name__
    full = base if name is None else f"{base}/{name}"
    if full in cases:
        raise ValueError(f"case {full!r} is registered twice; give one of them another name")
    made = Case(full, op, sample, torch, orders, errors, bench, tolerance, tuple(p.name for p in covers))
    cases[full] = made
    return made
