"""The registry of benchmarks, and what each of them gives back: a row of the table, ready for JSON.

    @benchmark("vae_mlp_step", group="step", what="training step of the VAE 784-500-20, batch 128")
    def _(settings: Settings) -> dict[str, Any]:
        return compare(comparison, settings).rows["step"]       # see sides.py

`README.md` beside this file lists the entries of a row.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from tinygen.errors import ConfigError

GROUPS = ("step", "sample", "evaluate", "op", "scaling", "machine")
# the modules that register some, in the order of the table
MODULES = ("steps", "sampling", "evaluation", "memory", "start", "roofline", "layers", "gradchecks", "ops", "scaling")

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
