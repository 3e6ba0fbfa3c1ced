"""What this machine can do at most, measured: multiply-adds per second, and bytes per second at each level of memory.

Nothing here is looked up: a rate from a data sheet knows nothing of the clock under vector load, of neighbours on the
same socket, or of a hypervisor.  The fastest of many tries counts, for that is the limit.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from tinygen.kernels._numba import jit
from tinygen.kernels._simd import ROWS, fill, put, rank1, run, span, width
from tinygen.kernels._units import units

from .suite import Work

Machine = dict[str, Any]

CPU = Path("/sys/devices/system/cpu/cpu0")
SPACE = 1 << 10  # float32 entries between two threads' tiles


def describe(threads: int) -> Machine:
    """What a reader has to know of the machine and the versions, without measuring anything."""
    governor = CPU / "cpufreq/scaling_governor"
    packages = {name: _version(name) for name in ("tinygen", "numpy", "numba", "torch", "jax")}
    return {
        "cpu": _processor(), "cores": os.cpu_count(), "threads": threads, "load": round(os.getloadavg()[0], 1),
        "governor": governor.read_text("ascii").strip() if governor.exists() else None,
        "caches": caches(), "system": platform.platform(), "python": platform.python_version(), **packages,
    }  # fmt: skip


def measure(threads: int) -> Machine:
    """`describe`, with `fma_gflops` (float32, one thread and all) and `bandwidth`, a list by growing size."""
    return describe(threads) | {
        "fma_gflops": {"one": fma_loop(1).rate(), "all": fma_loop(threads).rate()},
        "bandwidth": [
            {"level": level, "bytes": n, **{kind: memory_loop(n, threads, kind).rate() for kind in STREAMS}}
            for level, n in levels(threads)
        ],
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def caches() -> dict[str, int]:
    """Bytes of the data caches that the first processor sees: {"L1": ..., "L2": ..., "L3": ...}; empty if unknown."""
    found = {}
    for folder in sorted(CPU.glob("cache/index*")):
        if (folder / "type").read_text("ascii").strip() != "Instruction":
            size = (folder / "size").read_text("ascii").strip()
            unit = {"K": 1 << 10, "M": 1 << 20}.get(size[-1], 1)
            found[f"L{(folder / 'level').read_text('ascii').strip()}"] = int(size.rstrip("KM")) * unit
    return found


def levels(threads: int) -> list[tuple[str, int]]:
    """Working sets to measure, (name, bytes): half of what L2 and L3 hold, and four times the last-level cache."""
    known = caches()
    private = [("L2", known["L2"] * threads // 2)] if "L2" in known else []
    shared = [("L3", known["L3"] // 2)] if "L3" in known else []
    last = max([known.get("L3", 0), known.get("L2", 0) * threads, 16 << 20])
    return [*private, *shared, ("memory", 4 * last)]


# -- multiply-adds -----------------------------------------------------------------------------------------------------


@jit
def _tile(x, w, y, start, passes):
    """The register tile of the kernels with hardly anything to load.

    The weights change from step to step, and lie in the nearest cache: of a product that stays the same LLVM would make
    an addition.
    """
    rows, nr = run(0), width(x)
    acc = fill(w, 0, rows)
    for _ in range(passes):
        for p in range(w.size // nr):
            acc = rank1(acc, x, rows, 0, w, p * nr)
    put(acc, y, span(0, 0, ROWS - 1, nr), start, nr)  # apart: of rows that overlap, LLVM leaves out what is hidden


@units
def _tiles(thread, x, w, y, passes):
    _tile(x, w, y, thread * SPACE, passes)


class Loop(NamedTuple):
    """A loop that is as fast as the machine allows, and what a call of it does: operations, or bytes."""

    run: Callable[[], Any]
    amount: float

    def rate(self) -> float:
        """GFLOP/s or GB/s of its fastest call."""
        return self.amount / fastest(self.run) / 1e9


def fma_loop(threads: int) -> Loop:
    """Float32 multiply-adds in registers, `threads` tiles at once."""
    x, w = np.full(ROWS, 1e-3, np.float32), np.ones(2 * SPACE, np.float32)
    y, passes = np.empty(threads * SPACE, np.float32), 20_000
    return Loop(lambda: _tiles(False, threads, x, w, y, passes), 2.0 * ROWS * w.size * passes * threads)


# -- memory ------------------------------------------------------------------------------------------------------------
# Each thread passes over a part of its own, several times where that is short: a call is dear beside a loop in cache.


@jit
def _sum(a, turns):
    """As integers, whose sum is the same in any order, so that LLVM keeps many of them in flight."""
    total = 0
    for _ in range(turns):
        for i in range(a.size):
            total += a[i]
    return total


@jit
def _fill(a, turns):
    for turn in range(turns):
        value = np.float32(turn)
        for i in range(a.size):
            a[i] = value


@jit
def _copied(a, b, turns):
    for _ in range(turns):
        for i in range(a.size):
            b[i] = a[i]


@jit
def _summed(a, b, c, turns):
    for _ in range(turns):
        for i in range(c.size):
            c[i] = a[i] + np.float32(3) * b[i]


@units
def _read(thread, a, out, turns):
    part = a.size // out.size
    out[thread] = _sum(a[thread * part : (thread + 1) * part], turns)


@units
def _write(thread, a, threads, turns):
    part = a.size // threads
    _fill(a[thread * part : (thread + 1) * part], turns)


@units
def _copy(thread, a, b, threads, turns):
    part = a.size // threads
    own = slice(thread * part, (thread + 1) * part)
    _copied(a[own], b[own], turns)


@units
def _triad(thread, a, b, c, threads, turns):
    part = a.size // threads
    own = slice(thread * part, (thread + 1) * part)
    _summed(a[own], b[own], c[own], turns)


STREAMS = {"read": 1, "write": 1, "copy": 2, "triad": 3}  # arrays that each loop passes over


def memory_loop(size: int, threads: int, kind: str) -> Loop:
    """One of the loops on arrays that take `size` bytes together: it counts what the program reads and writes.

    What the cache fetches before it writes is not counted, as in STREAM.
    """
    turns = max(1, (64 << 20) // size)
    sums = np.empty(threads, np.int64)
    loops: dict[str, Callable[..., None]] = {
        "read": lambda a: _read(False, threads, a.view(np.int64), sums, turns),
        "write": lambda a: _write(False, threads, a, threads, turns),
        "copy": lambda a, b: _copy(False, threads, a, b, threads, turns),
        "triad": lambda a, b, c: _triad(False, threads, a, b, c, threads, turns),
    }
    count = STREAMS[kind]
    entries = size // (4 * count * threads) // 16 * 16 * threads
    arrays = [np.ones(entries, np.float32) for _ in range(count)]
    return Loop(partial(loops[kind], *arrays), 4.0 * count * entries * turns)


def fastest(work: Callable[[], Any], seconds: float = 0.25, least: int = 7) -> float:
    """Seconds of the fastest of many calls in this time, at least so many, after one that is not counted."""
    work()
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)


# -- limits ------------------------------------------------------------------------------------------------------------


def memory_rate(machine: Machine, size: float) -> float:
    """Bytes per second for work whose arrays take `size` bytes: the best of the loops at the level that holds them."""
    level = next((b for b in machine["bandwidth"] if size <= b["bytes"]), machine["bandwidth"][-1])
    return 1e9 * max(level[kind] for kind in ("read", "copy", "triad"))


def limit_ms(machine: Machine, work: Work) -> float:
    """Milliseconds that the arithmetic or the traffic alone would take, whichever is more."""
    arithmetic = work.flops / (1e9 * machine["fma_gflops"]["all"])
    return 1e3 * max(arithmetic, work.bytes / memory_rate(machine, work.bytes))
