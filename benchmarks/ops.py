"""Every op of the registry that has `bench` shapes, against PyTorch eager: forward, and forward with all gradients.

Both sides are called as a user calls them, with their tape and their checks: op by op it is the dispatch that is
compared for small arrays, and the kernels for large ones.  `roofline.py` times the kernels alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import tinygen
from tinygen.testing.cases import cases
from tinygen.testing.registry import Case

from . import counts, parity
from .sides import OURS, Comparison, Made, compare, register
from .suite import Row, Settings, benchmark
from .torch_ops import Form, form, names

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
        moving = moved(case, inputs)
        self.op = partial(case.op, **params)
        self.inputs = [tinygen.tensor(a) for a in inputs]
        self.leaves = [tinygen.tensor(a, requires_grad=i in moving) for i, a in enumerate(inputs)]
        self.wanted = [self.leaves[i] for i in moving]
        outputs = listed(self.op(*self.leaves))
        self.live = [i for i, y in enumerate(outputs) if y.requires_grad]
        self.seeds = [tinygen.tensor(v) for v in cotangents([outputs[i].shape for i in self.live])]

    def values(self) -> list[Any]:
        """Forward, without a tape."""
        return listed(self.op(*self.inputs))

    def gradients(self) -> Any:
        """Forward, and the gradients of every leaf for the cotangents."""
        ys = listed(self.op(*self.leaves))
        return tinygen.grad([ys[i] for i in self.live], self.wanted, self.seeds, allow_unused=True)

    def show(self) -> dict[str, Any]:
        """Values and gradients."""
        gradients = [None if g is None else g.data for g in self.gradients()] if self.live else []
        return named([y.data for y in self.values()], gradients)


class Theirs:
    """The same op in one of PyTorch's forms."""

    def __init__(self, how: Form, case: Case, inputs: list[np.ndarray]):
        import torch

        moving = moved(case, inputs)
        self.form, self.no_grad, self.grad = how, torch.no_grad, torch.autograd.grad
        self.inputs = [put(a) for put, a in zip(how.put, inputs)]
        self.leaves = [t.clone().requires_grad_(i in moving) for i, t in enumerate(self.inputs)]
        self.wanted, self.gets = [self.leaves[i] for i in moving], [how.get[i] for i in moving]
        outputs = listed(how.call(*self.leaves))
        self.live = [i for i, y in enumerate(outputs) if y.requires_grad]
        self.seeds = [how.put_out(v) for v in cotangents([how.get_out(outputs[i]).shape for i in self.live])]

    def values(self) -> list[Any]:
        """Forward, without a tape."""
        with self.no_grad():
            return listed(self.form.call(*self.inputs))

    def gradients(self) -> Any:
        """Forward, and the gradients of every leaf for the cotangents."""
        ys = listed(self.form.call(*self.leaves))
        return self.grad([ys[i] for i in self.live], self.wanted, self.seeds, allow_unused=True)

    def show(self) -> dict[str, Any]:
        """Values and gradients, in our layout."""
        gradients = self.gradients() if self.live else []
        got = [None if g is None else get(g) for get, g in zip(self.gets, gradients)]
        return named(list(map(self.form.get_out, self.values())), got)


def moved(case: Case, inputs: list[np.ndarray]) -> list[int]:
    """Which inputs the op can be differentiated by."""
    return [i for i, a in enumerate(inputs) if case.orders > 0 and a.dtype.kind == "f"]


def cotangents(shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """The same on all sides."""
    generator = np.random.Generator(np.random.Philox(7))
    return [generator.standard_normal(shape).astype(np.float32) for shape in shapes]


def listed(value: Any) -> list[Any]:
    """One output or several, as a list."""
    return list(value) if isinstance(value, tuple | list) else [value]


def named(values: list[Any], gradients: list[Any]) -> dict[str, Any]:
    """What a side shows; no gradient is one of zeros."""
    made = {f"value {i}": a for i, a in enumerate(values)}
    return made | {f"gradient {i}": np.zeros(()) if g is None else g for i, g in enumerate(gradients)}


def make(name: str, index: int, side: str, settings: Settings) -> Made:
    """One side of an op."""
    case = cases[name]
    inputs, params = draw(case, index)
    if side == OURS:
        mine: Ours | Theirs = Ours(case, inputs, params)
    else:
        import torch

        torch.set_num_threads(settings.threads)
        mine = Theirs(form(side, case, params), case, inputs)
    return Made(mine.show, {"values": mine.values} | ({"gradients": mine.gradients} if mine.live else {}))


def measure(name: str, index: int, compared: Comparison, settings: Settings) -> Row:
    """The row of one op: with gradients where it has any; `parts` has the forward pass alone."""
    case = cases[name]
    made = compare(compared, replace(settings, seconds=min(SECONDS, settings.seconds)))
    inputs, params = draw(case, index)
    outputs = [a for key, a in made.shown.items() if key.startswith("value")]
    base, forward = name.partition("/")[0], made.rows["values"]
    forward["work"] = counts.of(base, inputs, outputs, params)._asdict()
    if "gradients" not in made.rows:
        return forward
    row = made.rows["gradients"] | {"what": f"{text(case, index)}, with gradients"}
    if work := counts.with_gradient(base, inputs, outputs, params):
        row["work"] = work._asdict()
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
        _op = register(
            Comparison(
                row_name(_name, _index), names(_case, _case.bench[_index][1]), partial(make, _name, _index),
                parity.of_the_largest, TOLERANCE * _case.tolerance, "values and gradients",
            )
        )  # fmt: skip
        benchmark(_op.name, group="op", what=text(_case, _index))(partial(measure, _name, _index, _op))
