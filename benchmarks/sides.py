"""A comparison: sides that do the same work, each in a process of its own which waits for its turn.

    comparison = register(Comparison("vae_mlp_step", ("torch", "jax"), make, parity.relative, 1e-5, "losses"))
    made = compare(comparison, settings)        # parity first, then all in turns: made.rows[part]

`make(side, settings)` runs in the process of that side and gives what is shown and what is timed.

    python -m tinygen.benchmarks side NAME SIDE SETTINGS        such a process; it reads one order a line:

                                    says {} when it is ready
    {"show": FILE}                  writes what is shown (.npz), says {"parts": [...], "compile_s": s, "share": f}
    {"warm_up": PART}               says {"seconds": s}
    {"turn": PART, "count": n}      says {"ms": [...]}
    {"rate": THREADS}               says {"gflops": g}, what the machine grants now
    {"facts": true}                 says further entries of the row
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from . import peers
from .harness import BenchmarkError, Here, interleave, speedup, use_threads
from .parity import Figures, Rule
from .suite import Row, Settings, benchmark, load

OURS = "tinygen"
# Each of PyTorch's threads keeps to a processor of its own.  Else a thread that slept through the others' turns may be
# woken where the one that waits for it spins, and both share one processor until the system notices, for many steps.
BOUND = {"OMP_PROC_BIND": "true"}


class Made(NamedTuple):
    """What one side has ready."""

    show: Callable[[], Mapping[str, Any]]  # what has to be equal on all sides: {name: array}
    parts: dict[str, Callable[[], Any]]  # what is timed: functions that do the whole work and wait for it
    share: float = 1.0  # how much of the work a call does; what it takes is divided by it
    facts: Callable[[], Row] = dict  # further entries of the row, asked of our side once all were timed


class Comparison(NamedTuple):
    """Sides that do the same work: ours and the peers `forms`."""

    name: str
    forms: tuple[str, ...]
    make: Callable[[str, Settings], Made]
    rule: Rule
    tolerance: float
    compared: str  # what is shown, in words


comparisons: dict[str, Comparison] = {}


def register(comparison: Comparison) -> Comparison:
    """Make it known to the processes of its sides."""
    if comparison.name in comparisons:
        raise ValueError(f"comparison {comparison.name!r} is registered twice")
    comparisons[comparison.name] = comparison
    return comparison


def check(comparison: Comparison, form: str, ours: Figures, theirs: Figures) -> float:
    """How far a peer's figures are from ours; BenchmarkError where that is more than the tolerance."""
    difference = comparison.rule(ours, theirs)
    if not difference <= comparison.tolerance:
        rule = comparison.rule.__name__.replace("_", " ")
        raise BenchmarkError(
            f"{form}: {comparison.compared} differ from ours by {difference:.2g} ({rule}), allowed is "
            f"{comparison.tolerance:.2g}. Not timed."
        )
    return difference


class Compared(NamedTuple):
    """The rows of all parts, and what our side showed."""

    rows: dict[str, Row]
    shown: Figures


def compare(comparison: Comparison, settings: Settings, **facts: Any) -> Compared:
    """Start every side, compare what they show, then time each part in turns.

    `ratio` of a row is the fastest peer's time over ours, more than 1 where we are faster: the median over the rounds,
    with its quartiles.  facts: further entries of the rows.  Raises BenchmarkError for what does not agree.
    """
    found, left_out = runnable(comparison.forms, settings)
    running = [OURS, *found]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        sides = {side: stack.enter_context(Side(comparison.name, side, settings, folder)) for side in running}
        for process in sides.values():
            process.answer()  # it has loaded our code
        shown = {side: process.show() for side, process in sides.items()}  # one after another: compiling is timed
        apart = [check(comparison, side, shown[OURS], shown[side]) for side in running[1:]]
        facts |= {
            "compile_s": {side: sides[side].compile_s for side in running[1:]}, "left_out": left_out,
            "parity": f"{comparison.compared}: {comparison.rule.__name__.replace('_', ' ')} "
            f"{max(apart, default=0.0):.1g}, allowed {comparison.tolerance:.2g}",
        }  # fmt: skip
        mine = sides[OURS]
        before = mine.order(rate=settings.threads)["gflops"]
        rows = {part: timed(sides, part, settings) | facts for part in mine.parts}
        more = {"fma_gflops": [before, mine.order(rate=settings.threads)["gflops"]], **mine.order(facts=True)}
        rows = {part: row | more for part, row in rows.items()}
    return Compared(rows, shown[OURS])


def row(comparison: Comparison, part: str, *, group: str, what: str) -> None:
    """Register the comparison, and a benchmark whose row is that of one part."""
    register(comparison)
    benchmark(comparison.name, group=group, what=what)(lambda settings: compare(comparison, settings).rows[part])


def runnable(forms: tuple[str, ...], settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Those that run here, and why the others do not."""
    reasons = {form: peers.reason_missing(form, quick=settings.quick) for form in forms}
    return [form for form in forms if not reasons[form]], {form: why for form, why in reasons.items() if why}


def timed(sides: Mapping[str, Side], part: str, settings: Settings) -> Row:
    """One part of all sides, timed in turns."""
    players = {side: Player(process, part) for side, process in sides.items()}
    times = interleave(players, rounds=settings.rounds, seconds=settings.seconds)
    mine = times.pop(OURS)
    row: Row = {
        "ours_ms": mine.median, "spread": [mine.low, mine.high],
        "peers": {peer: t.median for peer, t in times.items()},
        "peers_spread": {peer: [t.low, t.high] for peer, t in times.items()},
    }  # fmt: skip
    if times:
        row["fastest"] = min(times, key=lambda peer: times[peer].median)
        row["ratio"], *row["ratio_spread"] = speedup(mine, times[row["fastest"]])
    if "torch" in times:
        row["ratio_as_written"] = times["torch"].median / mine.median
    return row


# -- the process of a side ---------------------------------------------------------------------------------------------


class Side:
    """The process of one side, as the one that gives the turns sees it; a context, at whose end it ends."""

    parts: list[str]
    compile_s: float
    share: float

    def __init__(self, name: str, side: str, settings: Settings, folder: Path):
        self.name, self.shown = side, folder / f"{side}.npz"
        self.errors = (folder / f"{side}.txt").open("w+", encoding="utf-8")
        command = [sys.executable, "-m", MODULE, "side", name, side, json.dumps(asdict(settings))]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True, encoding="utf-8",
            env={**os.environ, **(BOUND if side.startswith("torch") else {})},
        )  # fmt: skip

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def order(self, **order: Any) -> dict[str, Any]:
        """Have something done; its answer."""
        assert self.process.stdin
        with suppress(BrokenPipeError):  # it died: the missing answer tells
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """What it says next.  Raises BenchmarkError where it refuses, RuntimeError with its errors where it died."""
        assert self.process.stdout
        said = self.process.stdout.readline()
        if not said:
            self.errors.seek(0)
            end = "\n".join(self.errors.read().splitlines()[-20:])
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}:\n{end}")
        answer = json.loads(said)
        if "refused" in answer:
            raise BenchmarkError(answer["refused"])
        return answer

    def show(self) -> Figures:
        """What it computed, for comparison."""
        answer = self.order(show=str(self.shown))
        self.parts, self.compile_s, self.share = answer["parts"], answer["compile_s"], answer["share"]
        with np.load(self.shown, allow_pickle=False) as arrays:
            return dict(arrays)


class Player(NamedTuple):
    """One part of a side, as `interleave` wants it."""

    side: Side
    part: str

    def warm_up(self) -> float:
        """See harness.Player."""
        return self.side.order(warm_up=self.part)["seconds"]

    def turn(self, count: int) -> list[float]:
        """See harness.Player."""
        return [ms / self.side.share for ms in self.side.order(turn=self.part, count=count)["ms"]]


MODULE = f"{__package__}"


def serve(name: str, side: str, settings: Settings) -> None:
    """Carry out what standard input orders until it ends."""
    use_threads(settings.threads)
    out = sys.stdout
    with redirect_stdout(sys.stderr):  # standard output carries the answers
        load()
        print("{}", file=out, flush=True)
        made: Made | None = None
        for line in sys.stdin:
            order, answer = json.loads(line), {}
            try:
                if made is None:
                    made = comparisons[name].make(side, settings)
                answer = _carry_out(order, made)
            except BenchmarkError as error:
                answer = {"refused": str(error)}
            print(json.dumps(answer), file=out, flush=True)


def _carry_out(order: dict[str, Any], made: Made) -> dict[str, Any]:
    if "show" in order:
        start = perf_counter()
        figures: Mapping[str, Any] = made.show()
        seconds = perf_counter() - start
        np.savez(order["show"], **figures)
        return {"parts": list(made.parts), "compile_s": seconds, "share": made.share}
    if "warm_up" in order:
        return {"seconds": Here(made.parts[order["warm_up"]]).warm_up()}
    if "rate" in order:
        from .machine import fma_loop  # loads Numba, which has to wait for the number of threads

        return {"gflops": fma_loop(order["rate"]).rate()}
    if "facts" in order:
        return made.facts()
    return {"ms": Here(made.parts[order["turn"]]).turn(order["count"])}
