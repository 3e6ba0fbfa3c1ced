"""Runs benchmarks, each in a process of its own, and keeps what they gave: {"machine": {...}, "results": [row, ...]}.

Threads, caches, malloc's state and compiled code of one benchmark thus cannot help or harm another, and a crash costs
one row: that row has `error` in place of figures, and one that BenchmarkError turned down has `refused`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from tinygen.data.atomic import replacing

from .harness import BenchmarkError, in_subprocess, use_threads
from .suite import Benchmark, Row, Settings, Work, load

LONGEST = 3600.0  # seconds that one benchmark may take

Results = dict[str, Any]


def run_all(benchmarks: Iterable[Benchmark], settings: Settings, keep: Callable[[Results], None]) -> Results:
    """Measure the machine, then run every benchmark; `keep` gets the results after each, for what is kept on the way.

    Raises BenchmarkError where the machine cannot be measured.
    """
    machine = in_subprocess("tinygen.benchmarks", ["machine", "--threads", str(settings.threads)])
    results: Results = {"machine": machine, "settings": asdict(settings), "results": []}
    for benchmark in benchmarks:
        print(f"{benchmark.name} ...", end=" ", file=sys.stderr, flush=True)
        row = run_one(benchmark, settings)
        results["results"].append(with_limit(row, machine))
        print(verdict(row), file=sys.stderr)
        keep(results)
    return results


def run_one(benchmark: Benchmark, settings: Settings) -> Row:
    """The benchmark's row, from a process of its own."""
    head = {"name": benchmark.name, "group": benchmark.group, "what": benchmark.what}
    arguments = ["worker", benchmark.name, json.dumps(asdict(settings))]
    try:
        return head | in_subprocess("tinygen.benchmarks", arguments, timeout=LONGEST)
    except BenchmarkError as error:
        return head | {"error": str(error)}


def worker(name: str, settings: Settings) -> Row:
    """What runs in that process: the row, or why it was refused."""
    use_threads(settings.threads)
    with redirect_stdout(sys.stderr):  # standard output carries the row
        try:
            return load()[name].run(settings)
        except BenchmarkError as error:
            return {"refused": str(error)}


def with_limit(row: Row, machine: Results) -> Row:
    """The row with `limit_ms` and `share_of_limit`, where its work is counted and it has none of its own.

    The rate of arithmetic is the one measured before and after the row, where it was.
    """
    if "work" in row and "ours_ms" in row and "limit_ms" not in row:
        from .machine import limit_ms

        rate = fmean(row.get("fma_gflops", [machine["fma_gflops"]["all"]]))
        then = {**machine, "fma_gflops": {**machine["fma_gflops"], "all": rate}}
        row["limit_ms"] = limit_ms(then, Work(**row["work"]))
        row["share_of_limit"] = row["limit_ms"] / row["ours_ms"]
    return row


def failed(row: Row) -> bool:
    """Whether the row has no figures."""
    return "refused" in row or "error" in row


def verdict(row: Row) -> str:
    """A row in a few words, for those who wait."""
    if failed(row):
        return f"REFUSED: {row['refused']}" if "refused" in row else f"ERROR: {row['error']}"
    parts = [f"{row['ours_ms']:.4g} ms"] if "ours_ms" in row else []
    if "ratio" in row:
        peer = f" of {row['fastest']}" if "fastest" in row else ""
        parts.append(f"ratio {row['ratio']:.2f}{peer}")
    if row.get("share_of_limit") is not None:
        parts.append(f"{row['share_of_limit']:.0%} of the limit")
    return ", ".join(parts) or "done"


def write(results: Results, path: str | Path) -> None:
    """Write the JSON; the file appears whole."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", "utf-8")


def read(path: str | Path) -> Results:
    """What `write` wrote.  Raises BenchmarkError where it is something else."""
    try:
        results = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise BenchmarkError(f"{path}: is not JSON: {error}") from None
    if not isinstance(results, dict) or not {"machine", "results"} <= set(results):
        raise BenchmarkError(f"{path}: is not the result of `tinygen bench`: it lacks `machine` or `results`.")
    return results


def check_complete(rows: Sequence[Row]) -> None:
    """Raises BenchmarkError, naming them, where rows were refused or ended in an error."""
    bad = [row["name"] for row in rows if failed(row)]
    if bad:
        raise BenchmarkError(f"bench: {len(bad)} of {len(rows)} benchmarks have no figures: {', '.join(bad)}.")
