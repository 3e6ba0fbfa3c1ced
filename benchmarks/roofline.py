"""The kernels alone, against what the machine was measured to do in the same seconds.

`kernel_share`: every convolution and dense product of a training step of the benchmark's models, in all its directions,
against the rate of multiply-adds.  `bandwidth_share`: elementwise kernels and reductions on arrays far past the last
cache, against a plain loop that reads and writes as many streams.

A kernel is launched with outputs that exist already, as a recorded step does, and its fastest call counts, as it does
for the machine's rate.  `parts` of a row lists them all, with their work: the roofline.
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


def product(launch: Launch, settings: Settings) -> Timed:
    """One launch, timed, and the rate of multiply-adds just after it."""
    generator = np.random.Generator(np.random.Philox(0))
    inputs = [generator.standard_normal(shape, np.float32) for shape in launch.shapes]
    call, outputs = prepared(launch.kernel, inputs, dict(launch.params))
    work = counts.of(launch.kernel.__name__, inputs, outputs, dict(launch.params))
    ms = 1e3 * machine.fastest(call)
    return Timed(launch.text(), "fma", ms, work, machine.fma_rate(settings.threads))


def prepared(kernel: Any, inputs: list[np.ndarray], params: dict[str, Any]) -> tuple[Callable[[], Any], list[Any]]:
    """A launch with its outputs in place, as a recorded step makes it, and these outputs."""
    made = kernel(*inputs, **params)
    out = made if isinstance(made, tuple) else (made,)
    return kernel.bind((*inputs, *out), {**kernel.params, **params}), list(out)


class Timed(NamedTuple):
    """A kernel's fastest call, and the machine's rate of that kind (GFLOP/s, GB/s) in the same second."""

    name: str
    kind: str
    ms: float
    work: Work
    rate: float


def summary(name: str, what: str, timed: list[Timed]) -> Row:
    """The row of many kernels: the median of their shares of the limit, with the quartiles.

    The limit of a kind is the best rate seen all the while: a second in which the machine was held up flatters nobody.
    """
    best = {kind: max(t.rate for t in timed if t.kind == kind) for kind in {t.kind for t in timed}}
    parts: list[Row] = []
    for text, kind, ms, work, _ in timed:
        limit = (work.flops if kind == "fma" else work.bytes) / best[kind] / 1e6
        parts.append({
            "name": text, "ours_ms": ms, "work": work._asdict(), "gflops": work.flops / ms / 1e6,
            "gbs": work.bytes / ms / 1e6, "limit_ms": limit, "share_of_limit": limit / ms,
        })  # fmt: skip
    shares = [p["share_of_limit"] for p in parts]
    low, _, high = quartiles(shares)
    return {
        "name": name, "what": what, "share_of_limit": median(shares), "share_spread": [low, high], "rates": best,
        "parts": sorted(parts, key=lambda p: p["share_of_limit"]),
    }  # fmt: skip


KERNELS = "conv and dense kernels at the models' shapes, float32: median share of the measured multiply-add rate"


@benchmark("kernel_share", group="machine", what=KERNELS)
def kernel_share(settings: Settings) -> Row:
    """Every product of every model, by itself."""
    launches = products()
    if settings.quick:
        launches = launches[:: max(1, len(launches) // QUICK)]
    return summary("kernel_share", KERNELS, [product(launch, settings) for launch in launches])


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
    timed = []
    for family, name, operands, kind, params in launches:
        arrays = operands + (kind != "read")
        shape = (size // (4 * arrays * WIDTH), WIDTH)
        generator = np.random.Generator(np.random.Philox(0))
        inputs = [generator.uniform(0.5, 2, shape).astype(np.float32) for _ in range(operands)]
        call, outputs = prepared(getattr(family, name), inputs, params)
        work = counts.of(name, inputs, outputs, params)
        ms = 1e3 * machine.fastest(call)
        said = f"{name}{''.join(f' {k}={v}' for k, v in params.items())} {'x'.join(map(str, shape))}"
        rate = machine.bandwidth(size, settings.threads, kind)
        timed.append(Timed(f"{said}, against {kind}", kind, ms, work, rate))
    return summary("bandwidth_share", MEMORY, timed)
