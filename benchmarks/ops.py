"""Every op of the registry that has `bench` shapes, against PyTorch eager: forward, and forward with all gradients.

Both sides are called as a user calls them, with their tape and their checks: op by op it is the dispatch that is
compared for small arrays, and the kernels for large ones.  `roofline.py` times the kernels alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import tinygen
from tinygen.testing.cases import cases
from tinygen.testing.registry import Case

from . import counts
from .harness import BenchmarkError
from .suite import Row, Settings, benchmark, compare_sides
from .torch_ops import Form, forms

TOLERANCE = 1e-4  # difference allowed in float32, relative to the largest entry
SECONDS = 0.06  # of a turn, at most: there are many ops


def draw(case: Case, index: int) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Float32 inputs of the case's `bench` shapes and their parameters.

    The entries are those that the case itself draws, in random order and moved a little, so that they lie where the op
    is defined and hardly ever tie.
    """
    shapes, params = case.bench[index]
    generator = np.random.Generator(np.random.Philox(index))
    pools: list[list[np.ndarray]] = [[] for _ in shapes]
    for seed in range(24):
        for pool, a in zip(pools, case.draw(seed, np.float32)[0]):
            pool.append(np.ravel(a))
    inputs = []
    for shape, pool in zip(shapes, pools, strict=True):
        entries = np.concatenate(pool)
        a = generator.choice(entries, shape)
        if a.dtype.kind == "f" and not np.isin(entries, (0, 1)).all():
            a *= generator.uniform(0.99, 1.01, shape).astype(a.dtype)
        inputs.append(a)
    return inputs, params


class Ours:
    """One op on our side: values, and gradients of what the op can be differentiated by."""

    def __init__(self, case: Case, inputs: list[np.ndarray], params: dict[str, Any]):
        moving = [case.orders > 0 and a.dtype.kind == "f" for a in inputs]
        self.op = partial(case.op, **params)
        self.inputs = [tinygen.tensor(a) for a in inputs]
        self.leaves = [tinygen.tensor(a, requires_grad=m) for a, m in zip(inputs, moving)]
        outputs = listed(self.op(*self.leaves))
        self.outputs = [y.data for y in outputs]
        self.live = [i for i, y in enumerate(outputs) if y.requires_grad]
        self.moving = [i for i, m in enumerate(moving) if m] if self.live else []
        generator = np.random.Generator(np.random.Philox(7))
        self.cotangents = [generator.standard_normal(outputs[i].shape).astype(np.float32) for i in self.live]
        self.seeds = [tinygen.tensor(v) for v in self.cotangents]

    def values(self) -> list[Any]:
        """Forward, without a tape."""
        return listed(self.op(*self.inputs))

    def gradients(self) -> Any:
        """Forward, and the gradients of every leaf for the cotangents."""
        ys = listed(self.op(*self.leaves))
        wanted = [self.leaves[i] for i in self.moving]
        return tinygen.grad([ys[i] for i in self.live], wanted, self.seeds, allow_unused=True)


class Theirs:
    """The same op in one of PyTorch's forms."""

    def __init__(self, form: Form, ours: Ours, inputs: list[np.ndarray]):
        import torch

        self.form, self.live, self.moving = form, ours.live, ours.moving
        self.inputs = [put(a) for put, a in zip(form.put, inputs)]
        self.leaves = [t.clone().requires_grad_(i in ours.moving) for i, t in enumerate(self.inputs)]
        self.wanted = [self.leaves[i] for i in self.moving]
        self.seeds = [form.put_out(v) for v in ours.cotangents]
        self.no_grad, self.grad = torch.no_grad, torch.autograd.grad

    def values(self) -> list[Any]:
        """Forward, without a tape."""
        with self.no_grad():
            return listed(self.form.call(*self.inputs))

    def gradients(self) -> Any:
        """Forward, and the gradients of every leaf for the cotangents."""
        ys = listed(self.form.call(*self.leaves))
        return self.grad([ys[i] for i in self.live], self.wanted, self.seeds, allow_unused=True)

    def check(self, case: Case, ours: Ours) -> float:
        """The largest relative difference from ours.  Raises BenchmarkError where it is more than rounding."""
        worst = difference(case, "values", [y.data for y in ours.values()], map(self.form.get_out, self.values()))
        if self.live:
            gets = [self.form.get[i] for i in self.moving]
            theirs = [None if g is None else get(g) for get, g in zip(gets, self.gradients())]
            mine = [None if g is None else g.data for g in ours.gradients()]
            worst = max(worst, difference(case, "gradients", mine, theirs))
        return worst


def listed(value: Any) -> list[Any]:
    """One output or several, as a list."""
    return list(value) if isinstance(value, tuple | list) else [value]


def difference(case: Case, what: str, ours: Iterable[Any], theirs: Iterable[Any]) -> float:
    """The largest difference of two lists of arrays, relative to the largest entry of each; None is all zeros."""
    worst = 0.0
    for mine, peer in zip(ours, theirs, strict=True):
        a, b = (np.zeros(()) if v is None else np.asarray(v, np.float64) for v in (mine, peer))
        if mine is not None and peer is not None and a.shape != b.shape:
            raise BenchmarkError(f"{case.name}: {what} have shapes {a.shape} and {b.shape}. Not timed.")
        scale = max(float(np.abs(b).max(initial=0.0)), 1e-30)
        worst = max(worst, float(np.abs(a - b).max(initial=0.0)) / scale)
    if not worst <= TOLERANCE * case.tolerance:
        raise BenchmarkError(f"{case.name}: {what} differ from PyTorch's by {worst:.2g} of the largest. Not timed.")
    return worst


def measure(name: str, index: int, settings: Settings) -> Row:
    """The row of one op: with gradients where it has any; `parts` has the forward pass alone."""
    case = cases[name]
    inputs, params = draw(case, index)
    ours = Ours(case, inputs, params)
    theirs = {form: Theirs(how, ours, inputs) for form, how in forms(case, params).items()}
    worst = max(side.check(case, ours) for side in theirs.values())
    compared = "values and gradients" if ours.live else "values"
    parity = f"{compared}, largest difference {worst:.1g} of the largest entry, allowed {TOLERANCE:g}"
    brief = replace(settings, seconds=min(SECONDS, settings.seconds))
    base, what = name.partition("/")[0], text(case, index)
    forward = compare_sides(
        row_name(name, index), what, ours.values, {form: side.values for form, side in theirs.items()}, brief,
        work=counts.of(base, inputs, ours.outputs, params), parity=parity,
    )  # fmt: skip
    if not ours.live:
        return forward
    row = compare_sides(
        row_name(name, index), f"{what}, with gradients", ours.gradients,
        {form: side.gradients for form, side in theirs.items()}, brief,
        work=counts.with_gradient(base, inputs, ours.outputs, params), parity=parity,
    )  # fmt: skip
    return row | {"parts": [forward | {"name": "forward"}]}


def text(case: Case, index: int) -> str:
    """The op, its shapes and parameters, as a reader would write them."""
    shapes, params = case.bench[index]
    said = [*("x".join(map(str, s)) or "scalar" for s in shapes), *(f"{k}={v}" for k, v in params.items())]
    return f"{case.name}: {', '.join(said)}"


def row_name(name: str, index: int) -> str:
    """op_<name>, then _2, _3 for further shapes."""
    slug = name.replace("/", "_").replace(" ", "_")
    return f"op_{slug}" + (f"_{index + 1}" if index else "")


for _name, _case in sorted(cases.items()):
    for _index in range(len(_case.bench) if _case.torch else 0):
        benchmark(row_name(_name, _index), group="op", what=text(_case, _index))(partial(measure, _name, _index))
