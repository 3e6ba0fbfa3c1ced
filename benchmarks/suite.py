"""The registry of benchmarks, and what each of them gives back: a row of the table, ready for JSON.

    @benchmark("vae_mlp_step", group="step", what="training step of the VAE 784-500-20, batch 128")
    def _(settings: Settings) -> dict[str, Any]:
        parity = check_parity(...)                  # raises BenchmarkError: what does not agree is not timed
        return compare_sides("vae_mlp_step", "...", ours, {"torch": theirs}, settings, parity=parity)

`README.md` beside this file lists the entries of a row.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from tinygen.errors import ConfigError

from .harness import interleave, speedup

GROUPS = ("step", "sample", "evaluate", "op", "scaling", "machine")
# the modules that register some, in the order of the table
MODULES = ("steps", "sampling", "evaluation", "memory", "start", "roofline", "layers", "ops", "scaling")

Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How long to measure: `rounds` turns of about `seconds` for each side, with `threads` threads for each side.

    `quick` asks a benchmark for fewer points and smaller figures where it has a choice: a look, not a result.
    """

    threads: int
    rounds: int = 8
    seconds: float = 0.3
    quick: bool = False


class Work(NamedTuple):
    """What the arithmetic alone asks for: floating-point operations (a multiply-add is two), and bytes of traffic."""

    flops: float
    bytes: float


class Benchmark(NamedTuple):
    """One row's maker: `run(settings)` measures and returns the row."""

    name: str
    group: str
    what: str
    run: Callable[[Settings], Row]


registry: dict[str, Benchmark] = {}


def benchmark(name: str, *, group: str, what: str) -> Callable[[Callable[[Settings], Row]], Callable[[Settings], Row]]:
    """Register a function as the benchmark `name`; `what` says in one line what is timed."""
    if group not in GROUPS:
        raise ValueError(f"benchmark {name!r}: group {group!r} is none of {', '.join(GROUPS)}")
    if name in registry:
        raise ValueError(f"benchmark {name!r} is registered twice")

    def register(run: Callable[[Settings], Row]) -> Callable[[Settings], Row]:
        registry[name] = Benchmark(name, group, what, run)
        return run

    return register


def load() -> dict[str, Benchmark]:
    """The registry, with everything registered."""
    for module in MODULES:
        importlib.import_module(f"{__package__}.{module}")
    return registry


def select(patterns: list[str] | None) -> list[Benchmark]:
    """The benchmarks that match a name or a shell pattern, in the registry's order; all without patterns.

    Raises ConfigError for a pattern that matches nothing, naming the nearest.
    """
    known = load()
    for pattern in patterns or ():
        if not any(fnmatchcase(name, pattern) for name in known):
            near = get_close_matches(pattern, known, n=3, cutoff=0.5)
            hint = f"Near ones: {', '.join(near)}." if near else "`tinygen bench --list` shows them."
            raise ConfigError(f"bench: there is no benchmark {pattern!r}. {hint}")
    return [b for name, b in known.items() if not patterns or any(fnmatchcase(name, p) for p in patterns)]


def compare_sides(
    name: str,
    what: str,
    ours: Callable[[], Any],
    peers: Mapping[str, Callable[[], Any]],
    settings: Settings,
    *,
    work: Work | None = None,
    **facts: Any,
) -> Row:
    """The row of one comparison: every side is warmed up, then all are timed in turns.

    ours and peers: functions without arguments that do the whole work and wait for it.  facts: further entries of the
    row, such as parity, compile_s, left_out, peak_mib.  `ratio` is the fastest peer's time over ours, more than 1 where
    we are faster: the median over the rounds, with its quartiles.
    """
    times = interleave({"tinygen": ours, **peers}, rounds=settings.rounds, seconds=settings.seconds)
    mine = times.pop("tinygen")
    row: Row = {
        "name": name, "what": what, "ours_ms": mine.median, "spread": [mine.low, mine.high],
        "peers": {peer: t.median for peer, t in times.items()},
        "peers_spread": {peer: [t.low, t.high] for peer, t in times.items()},
    }  # fmt: skip
    if times:
        row["fastest"] = min(times, key=lambda peer: times[peer].median)
        row["ratio"], *row["ratio_spread"] = speedup(mine, times[row["fastest"]])
    if work is not None:
        row["work"] = work._asdict()
    return row | facts
