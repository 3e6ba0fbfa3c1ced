"""What every benchmark needs: threads, the machine's description, interleaved timing, peak memory, subprocesses."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, NamedTuple

from tinygen.errors import TinygenError


class BenchmarkError(TinygenError):
    """A benchmark cannot be run fairly, so it is not run."""


class Timing(NamedTuple):
    """Milliseconds of a step: the median and the quartiles over all timed steps, and the median of each round."""

    median: float
    low: float
    high: float
    rounds: list[float]


def use_threads(n: int) -> None:
    """Give both sides n threads.  Raises BenchmarkError once one of them has started its own."""
    started = sorted({"numba", "torch"} & set(sys.modules))
    if started:
        raise BenchmarkError(f"use_threads: {started} is loaded already. Call it first.")
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(n)


def machine(threads: int) -> dict[str, Any]:
    """What a reader has to know of the machine and the versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = dict(line.partition(":")[::2] for line in info.read_text("utf-8").splitlines() if ":" in line)
        cpu = {k.strip(): v.strip() for k, v in found.items()}.get("model name", cpu)
    packages = {name: version(name) for name in ("tinygen", "numpy", "numba", "torch")}
    return {
        "cpu": cpu, "cores": os.cpu_count(), "threads": threads, "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(), "python": platform.python_version(), **packages,
    }  # fmt: skip


def interleave(sides: Mapping[str, Callable[[], Any]], *, rounds: int, seconds: float = 0.3) -> dict[str, Timing]:
    """Time every side in turns, so that a slow minute of the machine strikes all of them.

    A turn takes about `seconds`; its first step is not counted, for it finds the other side's data in the caches.
    """
    counts = {}
    for name, step in sides.items():
        step()  # warm-up
        start = perf_counter()
        step()
        counts[name] = max(2, round(seconds / (perf_counter() - start)))
    times: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, step in sides.items():
            step()
            turn = []
            for _ in range(counts[name]):
                start = perf_counter()
                step()
                turn.append(1e3 * (perf_counter() - start))
            times[name].append(turn)
    return {name: _timing(turns) for name, turns in times.items()}


def _timing(turns: list[list[float]]) -> Timing:
    low, middle, high = quantiles([t for turn in turns for t in turn], n=4)
    return Timing(middle, low, high, [median(turn) for turn in turns])


def ratio(ours: Timing, peer: Timing) -> tuple[float, float, float]:
    """Ours over the peer's, round by round: the median and the quartiles.  Below 1 ours is faster."""
    low, middle, high = quantiles([a / b for a, b in zip(ours.rounds, peer.rounds, strict=True)], n=4)
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


def in_subprocess(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Any:
    """What `python -m module *arguments` prints as its last line, read as JSON; `environment` adds to this one's."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command[1:])} failed with status {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])
