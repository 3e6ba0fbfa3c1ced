"""The kernels alone, against what the machine is measured to do in turns with them.

`kernel_share`: every convolution and dense product of a training step of the benchmark's models, in all its directions,
against the rate of multiply-adds.  `bandwidth_share`: elementwise kernels and reductions on arrays far past the last
cache, against a plain loop that reads and writes as many streams.

A kernel is launched with outputs that exist already, as a recorded step does.  It takes turns with the measuring loop;
the fastest call of a turn is held against the loop's fastest in the turn before, and the median over the turns counts:
what the memory of a shared machine grants may double from one second to the next.  `parts` of a row lists all kernels,
with their work: the roofline.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from tinygen import kernels
from tinygen.random import Key

from . import counts, machine
from .harness import BenchmarkError, quartiles
from .suite import Row, Settings, Work, benchmark

COUNTED = ("conv", "matmul")  # the families of products; what they have beside products moves entries
QUICK = 6  # parts of a row that is asked for quickly
TURNS, TURN = 9, 0.04  # turns of a kernel and of the loop that measures, and the seconds of each, at least two calls


class Launch(NamedTuple):
    """One kernel on arrays of these shapes."""

    kernel: Any
    shapes: tuple[tuple[int, ...], ...]
    params: tuple[tuple[str, Any], ...]
    model: str

    def text(self) -> str:
        said = ["x".join(map(str, s)) for s in self.shapes]
        said += [f"{k}={v}" for k, v in self.params if v not in (None, 1, (1, 1), False)]
        return f"{self.kernel.__name__} {', '.join(said)} ({self.model})"


def products() -> list[Launch]:
    """Every different product that one step of the benchmark's models launches."""
    from .steps import CASES

    found: dict[tuple[Any, ...], Launch] = {}
    for name, case in CASES.items():
        model, x = case.build(), case.data()
        launched: list[tuple[Any, ...]] = []

        def note(kernel: Any, inputs: Any, outs: Any, params: Any, _: bool, to: Any = launched) -> None:
            to.append((kernel, inputs, params))

        with kernels.observe(note):
            for objective in model.objectives().values():
                objective.loss(x, key=Key(0)).backward()
        for kernel, inputs, params in launched:
            if kernel.__name__ in counts.PRODUCTS:
                made = Launch(kernel, tuple([a.shape for a in inputs]), tuple(params.items()), name)
                found.setdefault(made[:3], made)
            elif kernel.family in COUNTED and "pool" not in kernel.__name__:
                raise BenchmarkError(f"kernel_share: {kernel!r} is not counted. Add it to counts.PRODUCTS.")
    return list(found.values())


def product(launch: Launch, loop: machine.Loop) -> Row:
    """One launch, in turns with multiply-adds."""
    generator = np.random.Generator(np.random.Philox(0))
    inputs = [generator.standard_normal(shape, np.float32) for shape in launch.shapes]
    call, outputs = prepared(launch.kernel, inputs, dict(launch.params))
    work = counts.of(launch.kernel.__name__, inputs, outputs, dict(launch.params))
    return timed(launch.text(), call, work, work.flops, loop)


def prepared(kernel: Any, inputs: list[np.ndarray], params: dict[str, Any]) -> tuple[Callable[[], Any], list[Any]]:
    """A launch with its outputs in place, as a recorded step makes it, and these outputs."""
    made = kernel(*inputs, **params)
    out = made if isinstance(made, tuple) else (made,)
    return kernel.bind((*inputs, *out), {**kernel.params, **params}), list(out)


def timed(name: str, call: Callable[[], Any], work: Work, amount: float, loop: machine.Loop) -> Row:
    """A kernel's part of the row: `amount` is its work in what the loop counts, operations or bytes."""
    limits, times = [], []
    for _ in range(TURNS):
        limits.append(1e3 * machine.fastest(loop.run, TURN, 2) * amount / loop.amount)
        times.append(1e3 * machine.fastest(call, TURN, 2))
    ms = median(times)
    return {
        "name": name, "ours_ms": ms, "work": work._asdict(), "gflops": work.flops / ms / 1e6,
        "gbs": work.bytes / ms / 1e6, "limit_ms": median(limits),
        "share_of_limit": median(limit / t for limit, t in zip(limits, times)),
    }  # fmt: skip


def summary(name: str, what: str, parts: list[Row]) -> Row:
    """The row of many kernels: the median of their shares of the limit, with the quartiles."""
    shares = [p["share_of_limit"] for p in parts]
    low, middle, high = quartiles(shares)
    return {
        "name": name, "what": what, "share_of_limit": middle, "share_spread": [low, high],
        "parts": sorted(parts, key=lambda p: p["share_of_limit"]),
    }  # fmt: skip


KERNELS = "conv and dense kernels at the models' shapes, float32: median share of the measured multiply-add rate"


@benchmark("kernel_share", group="machine", what=KERNELS)
def kernel_share(settings: Settings) -> Row:
    """Every product of every model, by itself."""
    launches = products()
    if settings.quick:
        launches = launches[:: max(1, len(launches) // QUICK)]
    loop = machine.fma_loop(settings.threads)
    return summary("kernel_share", KERNELS, [product(launch, loop) for launch in launches])


# -- memory ------------------------------------------------------------------------------------------------------------

UNARY = ("relu", "neg", "abs", "sqrt", "exp", "log", "tanh", "sigmoid", "softplus")
BINARY = ("add", "sub", "mul", "div", "maximum", "relu_grad", "tanh_grad")
ALL, ROWS, COLUMNS = {"axes": (0, 1)}, {"axes": (1,)}, {"axes": (0,)}
REDUCTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("sum", ALL), ("sum", ROWS), ("sum", COLUMNS), ("max", ALL), ("max", ROWS), ("logsumexp", ROWS),
)  # fmt: skip
WIDTH = 1024  # of the rows that are reduced

MEMORY = "elementwise kernels and reductions past the caches, float32: median share of the measured bandwidth"


@benchmark("bandwidth_share", group="machine", what=MEMORY)
def bandwidth_share(settings: Settings) -> Row:
    """Each kernel against the plain loop of its kind: one array read, one read and one written, or two and one."""
    size = machine.levels(settings.threads)[-1][1]
    launches = [
        *((kernels.elementwise, name, 1, "copy", {}) for name in UNARY),
        *((kernels.elementwise, name, 2, "triad", {}) for name in BINARY),
        *((kernels.reduce, name, 1, "read", params) for name, params in REDUCTIONS),
        (kernels.reduce, "softmax", 1, "copy", {"axis": 1}),
        (kernels.reduce, "log_softmax", 1, "copy", {"axis": 1}),
    ]
    if settings.quick:
        launches = launches[:: len(launches) // QUICK]
    loops = {kind: machine.memory_loop(size, settings.threads, kind) for kind in {kind for *_, kind, _ in launches}}
    parts = []
    for family, name, operands, kind, params in launches:
        arrays = operands + (kind != "read")
        shape = (size // (4 * arrays * WIDTH), WIDTH)
        generator = np.random.Generator(np.random.Philox(0))
        inputs = [generator.uniform(0.5, 2, shape).astype(np.float32) for _ in range(operands)]
        call, outputs = prepared(getattr(family, name), inputs, params)
        work = counts.of(name, inputs, outputs, params)
        said = f"{name}{''.join(f' {k}={v}' for k, v in params.items())} {'x'.join(map(str, shape))}"
        parts.append(timed(f"{said}, against {kind}", call, work, work.bytes, loops[kind]))
    return summary("bandwidth_share", MEMORY, parts)
