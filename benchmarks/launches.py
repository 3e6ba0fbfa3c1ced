"""Where the time of a recorded step goes: its launches, one by one.

A replay joins neighbouring launches into one call; here each is called by itself, so the sum is a little more than the
step where launches are short.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

from tinygen.kernels.replay.recording import Launch
from tinygen.step import Step

from . import counts
from .suite import Row, Work

ROUNDS = 15  # times that the whole list is run


def launches(step: Step) -> list[Row]:
    """Equal launches of a step's plan together: {name, count, ms, work}, milliseconds and work of all of them.

    `work` counts what each cannot do without (`counts.py`).  Longest first.  The step was called three times.
    """
    assert step.plan is not None
    times: list[list[float]] = [[] for _ in step.plan.calls]
    for _ in range(ROUNDS):
        for call, seen in zip(step.plan.calls, times):
            start = perf_counter()
            call()
            seen.append(1e3 * (perf_counter() - start))
    rows: dict[str, Row] = {}
    for launch, seen in zip(step.plan.launches, times):
        name, work = ("actions of Python", Work(0, 0)) if not isinstance(launch, Launch) else _described(launch)
        row = rows.setdefault(name, {"name": name, "count": 0, "ms": 0.0, "work": {"flops": 0.0, "bytes": 0.0}})
        row["count"] += 1
        row["ms"] += median(seen)
        for kind, amount in work._asdict().items():
            row["work"][kind] += amount
    return sorted(rows.values(), key=lambda row: -row["ms"])


def _described(launch: Launch) -> tuple[str, Work]:
    """The kernel with the shapes it is given, and what it has to do."""
    kernel: Any = launch.kernel
    inputs: tuple[Any, ...] = launch.inputs
    outs: tuple[Any, ...] = launch.outs
    shapes = ["x".join(map(str, a.shape)) for a in inputs if a.size > 1][:3]
    more = ", ..." if sum(a.size > 1 for a in inputs) > len(shapes) else ""
    work = counts.of(kernel.__name__, inputs, outs, launch.params)
    return f"{kernel.family}.{kernel.__name__} {', '.join(shapes)}{more}", work
