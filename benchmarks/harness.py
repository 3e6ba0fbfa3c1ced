"""What every benchmark needs: equal threads, time by turns, peak memory, processes of their own."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, NamedTuple, Protocol

from tinygen.errors import TinygenError

SETTLE = 0.02  # seconds at the start of a turn that are not counted
MOST = 20_000  # timed steps in a turn


class BenchmarkError(TinygenError):
    """A benchmark cannot be run fairly, so it is not run."""


class Timing(NamedTuple):
    """Milliseconds of a step: the median and the quartiles over all timed steps, and the median of each round."""

    median: float
    low: float
    high: float
    rounds: list[float]


def usable_cores() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(n: int) -> None:
    """Give this process and its children n threads, whatever library they use, on n processors.

    Every library is told by its own variable, and where the system can (Linux) the process is also bound to the first n
    of its processors, which no library gets around.  A policy for waiting threads set from outside is dropped: each
    library keeps its own.  Raises BenchmarkError once one of them has started its threads.
    """
    started = sorted({"numba", "torch", "jax"} & set(sys.modules))
    if started:
        raise BenchmarkError(f"use_threads: {started} is loaded already. Call it first.")
    if not 1 <= n <= usable_cores():
        raise BenchmarkError(f"use_threads: {n} threads asked for, {usable_cores()} processors to run on.")
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"):
        os.environ[name] = str(n)  # NPROC sizes XLA's pool
    os.environ.pop("OMP_WAIT_POLICY", None)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n])


# -- time --------------------------------------------------------------------------------------------------------------


class Player(Protocol):
    """Somebody who takes turns at a step."""

    def warm_up(self) -> float:
        """Compile, allocate; then the seconds that a step takes, roughly."""

    def turn(self, count: int) -> list[float]:
        """Milliseconds of `count` steps, one by one."""


class Here:
    """A step that takes its turns in this process."""

    def __init__(self, step: Callable[[], Any]):
        self.step = step

    def warm_up(self) -> float:
        """See Player."""
        self.step()
        self.step()
        return self._for_seconds(SETTLE)

    def turn(self, count: int) -> list[float]:
        """See Player.  The first step, and what else fits into the first 20 ms, is not counted: it finds what others
        left in the caches, and its threads asleep.
        """
        self._for_seconds(SETTLE)
        times = []
        for _ in range(count):
            start = perf_counter()
            self.step()
            times.append(1e3 * (perf_counter() - start))
        return times

    def _for_seconds(self, seconds: float) -> float:
        """Run for that long, at least once; the seconds of one step."""
        start, n = perf_counter(), 0
        while not n or perf_counter() - start < seconds:
            self.step()
            n += 1
        return (perf_counter() - start) / n


def interleave(players: Mapping[str, Player], *, rounds: int, seconds: float = 0.3) -> dict[str, Timing]:
    """Time all in turns of about `seconds`, so that a slow minute of the machine strikes everybody.

    Each round starts with another one.
    """
    counts = {}
    for name, player in players.items():
        counts[name] = min(MOST, max(2, round(seconds / player.warm_up())))
    times: dict[str, list[list[float]]] = {name: [] for name in players}
    names = list(players)
    for r in range(rounds):
        first = r % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(players[name].turn(counts[name]))
    return {name: _timing(turns) for name, turns in times.items()}


def _timing(turns: list[list[float]]) -> Timing:
    low, middle, high = quartiles([t for turn in turns for t in turn])
    return Timing(middle, low, high, [median(turn) for turn in turns])


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of what was seen; a single value is all three."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


def speedup(ours: Timing, peer: Timing) -> tuple[float, float, float]:
    """The peer's time over ours, round by round: the median and the quartiles.  Above 1 ours is faster."""
    low, middle, high = quartiles([b / a for a, b in zip(ours.rounds, peer.rounds, strict=True)])
    return middle, low, high


# -- memory ------------------------------------------------------------------------------------------------------------


def peak_memory(work: Callable[[], Any]) -> float:
    """MiB by which the resident memory rises at most while `work` runs, above what it is now.

    Linux keeps the peak (VmHWM) and resets it when asked to.  What malloc holds free is given back first, else arrays
    that land there would not count.  Raises BenchmarkError where that cannot be done.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except (AttributeError, OSError) as error:
        raise BenchmarkError(f"peak_memory: needs Linux with glibc: {error}") from None
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """A field of /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise BenchmarkError(f"peak_memory: /proc/self/status has no {field}")


# -- processes of their own --------------------------------------------------------------------------------------------


def in_subprocess(
    module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float | None = None
) -> Any:
    """What `python -m module *arguments` prints as its last line, read as JSON; `environment` adds to this one's.

    Raises BenchmarkError, with the end of what it wrote to standard error, where it fails or takes longer than
    `timeout` seconds.
    """
    command = [sys.executable, "-m", module, *arguments]
    shown = " ".join(["python", *command[1:]])
    environment = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{shown} took longer than {timeout:.0f} s") from None
    if done.returncode:
        end = "\n".join(done.stderr.splitlines()[-25:])
        raise BenchmarkError(f"{shown} failed with status {done.returncode}:\n{end}")
    return json.loads(done.stdout.splitlines()[-1])
